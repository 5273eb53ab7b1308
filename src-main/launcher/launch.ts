/**
 * `npm start`: the Electron app where there is a display and an Electron binary (fetched when it can be), otherwise the
 * same node headless, with the same UI in a browser. Says which and why.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { buildIfStale, root } from './build.ts'
import { onEnding } from './ending.ts'

const fetchTimeoutMs = 120_000

export type Choice =
  | { readonly shell: 'electron'; readonly binary: string }
  | { readonly shell: 'headless'; readonly because: string }

/** Deciding is pure; looking and fetching come in as functions. */
export function chooseShell(machine: {
  readonly forcedHeadless: boolean
  readonly hasDisplay: boolean
  readonly findBinary: () => string | null
  readonly fetchBinary: () => boolean
}): Choice {
  if (machine.forcedHeadless) return { shell: 'headless', because: 'asked for with --headless' }
  if (!machine.hasDisplay) return { shell: 'headless', because: 'there is no display' }
  const found = machine.findBinary() ?? (machine.fetchBinary() ? machine.findBinary() : null)
  if (found === null) return { shell: 'headless', because: 'the Electron binary is not here and could not be fetched' }
  return { shell: 'electron', binary: found }
}

export function hasDisplay(platform: NodeJS.Platform, environment: NodeJS.ProcessEnv): boolean {
  if (platform === 'win32' || platform === 'darwin') return true
  return Boolean(environment['DISPLAY'] || environment['WAYLAND_DISPLAY'])
}

/** The binary that the `electron` package would start, without letting it download anything. */
export function findElectronBinary(environment: NodeJS.ProcessEnv): string | null {
  const packageDirectory = dirname(createRequire(import.meta.url).resolve('electron/package.json'))
  const pathFile = join(packageDirectory, 'path.txt')
  const override = environment['ELECTRON_OVERRIDE_DIST_PATH']
  const executable = existsSync(pathFile) ? readFileSync(pathFile, 'utf8') : 'electron'
  const binary = override ? join(override, executable) : join(packageDirectory, 'dist', executable)
  return existsSync(binary) ? binary : null
}

function fetchElectron(): boolean {
  process.stderr.write('Fetching the Electron binary …\n')
  const installer = join(dirname(createRequire(import.meta.url).resolve('electron/package.json')), 'install.js')
  const result = spawnSync(process.execPath, [installer], {
    stdio: ['ignore', 'ignore', 'ignore'],
    timeout: fetchTimeoutMs,
  })
  return result.status === 0
}

/** Hands signals on, and ends as the child ends. */
export function run(binary: string, args: readonly string[]): void {
  const child = spawn(binary, args, { cwd: root, stdio: 'inherit' })
  onEnding((signal) => child.kill(signal))
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === null ? 1 : 0)
  })
}

export function chooseShellHere(args: readonly string[]): Choice {
  return chooseShell({
    forcedHeadless: args.includes('--headless'),
    hasDisplay: hasDisplay(process.platform, process.env),
    findBinary: () => findElectronBinary(process.env),
    fetchBinary: fetchElectron,
  })
}

async function launch(args: readonly string[]): Promise<void> {
  const rest = args.filter((argument) => argument !== '--headless')
  const choice = chooseShellHere(args)
  await buildIfStale('renderer')
  if (choice.shell === 'electron') {
    await buildIfStale('main')
    return run(choice.binary, [root, ...rest])
  }
  process.stderr.write(`Starting without a window: ${choice.because}.\n`)
  run(process.execPath, [join(root, 'src-main/headless/main.ts'), 'up', ...rest])
}

if (import.meta.main) await launch(process.argv.slice(2))
