import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBuilder, type Plugin } from 'vite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const repository = join(import.meta.dirname, '../..')
const composition = '\0composition'
/** What the node is made of is bundled by the build; here only the shape of the bundles counts. */
const withoutNode: Plugin = {
  name: 'without-node',
  enforce: 'pre',
  resolveId: (id) => (id.endsWith('/compose.ts') ? composition : null),
  load: (id) =>
    id === composition ? 'export const createNodeHost = async () => { throw new Error("left out") }' : null,
}

let outDir: string
const bundle = (name: string) => readFileSync(join(outDir, name), 'utf8')

beforeAll(async () => {
  outDir = mkdtempSync(join(tmpdir(), 'quiltbee-main-'))
  const builder = await createBuilder({
    configFile: join(repository, 'vite.main.config.ts'),
    root: repository,
    logLevel: 'error',
    plugins: [withoutNode, { name: 'elsewhere', configEnvironment: () => ({ build: { outDir, sourcemap: false } }) }],
  })
  await builder.buildApp()
})
afterAll(() => rmSync(outDir, { recursive: true, force: true }))

describe('the bundles of the shell', () => {
  it('are those that package.json, window, supervisor and compute look for, and the kernels beside them', () => {
    const files = readdirSync(outDir).filter((file) => !file.startsWith('shared-'))
    expect(files.sort()).toEqual(['compute.js', 'kernels.wasm', 'main.js', 'node-process.js', 'preload.cjs'])
  })

  it('have a preload that a sandbox can load: one file that requires nothing but electron', () => {
    const required = [...bundle('preload.cjs').matchAll(/\brequire\(["']([^"']+)["']\)/g)].map(([, name]) => name)
    expect(required).toEqual(['electron'])
    expect(bundle('preload.cjs')).not.toMatch(/^(import|export)\b/m)
  })

  it('leave packages and Electron outside, and resolve all of our own modules', () => {
    const imported = [...bundle('main.js').matchAll(/^import .*?from ["']([^"']+)["']/gm)].map(([, name]) => name ?? '')
    expect(imported).toContain('electron')
    expect(imported).toContain('zod')
    expect(imported.filter((name) => name.startsWith('#') || name.endsWith('.ts'))).toEqual([])
  })

  it("keep Electron out of the node's process", () => {
    expect(bundle('node-process.js')).not.toMatch(/from ["']electron["']/)
  })
})
