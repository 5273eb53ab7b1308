/** Builds what `npm start` needs, when something is newer than what was built, so that a second start is quick. */
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { glob } from 'node:fs/promises'
import { join, resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '../..')
export const vite = join(root, 'node_modules/vite/bin/vite.js')

const parts = {
  renderer: {
    config: 'vite.config.ts',
    result: 'dist/renderer/index.html',
    sources: ['src-renderer/**/*', 'src-main/contracts/**/*.ts', 'vite.config.ts', 'package.json'],
  },
  main: {
    config: 'vite.main.config.ts',
    result: 'dist/main/main.js',
    sources: ['src-main/**/*.ts', 'vite.main.config.ts', 'package.json'],
  },
} as const

export type Part = keyof typeof parts

export function configOf(part: Part): string {
  return parts[part].config
}

export async function buildIfStale(part: Part): Promise<void> {
  const { config, result, sources } = parts[part]
  const built = join(root, result)
  const builtAtMs = existsSync(built) ? statSync(built).mtimeMs : 0
  if (builtAtMs > (await newestMs(sources))) return
  process.stderr.write(`Building ${part === 'renderer' ? 'the UI' : 'the app'} …\n`)
  const build = spawnSync(process.execPath, [vite, 'build', '--logLevel', 'warn', '--config', config], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (build.status !== 0) throw new Error(`vite build --config ${config} failed`)
}

async function newestMs(sources: readonly string[]): Promise<number> {
  let newest = 0
  for await (const file of glob([...sources], { cwd: root })) {
    newest = Math.max(newest, statSync(join(root, file)).mtimeMs)
  }
  return newest
}
