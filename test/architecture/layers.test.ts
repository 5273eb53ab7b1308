import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { cruise, type ICruiseOptions, type ICruiseResult } from 'dependency-cruiser'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const forbidden: readonly (readonly [file: string, imported: string, rule: string])[] = [
  ['src-main/core/budget/fs.ts', 'node:fs', 'core-is-pure'],
  ['src-main/core/budget/adapter.ts', 'src-main/adapters/sqlite/b.ts', 'core-is-pure'],
  ['src-main/core/budget/area.ts', 'src-main/core/hosting/b.ts', 'core-areas-stand-alone'],
  ['src-main/core/ports/maths.ts', 'src-main/core/numerics/b.ts', 'ports-import-types-only'],
  ['src-main/contracts/api/core.ts', 'src-main/core/errors.ts', 'contracts-are-schemas-and-codecs'],
  ['src-main/adapters/sqlite/other.ts', 'src-main/adapters/files/b.ts', 'adapters-stand-alone'],
  ['src-main/engines/onnxruntime/other.ts', 'src-main/engines/reference/b.ts', 'engines-stand-alone'],
  ['src-main/engines/tfjs/other.ts', 'src-main/engines/onnxruntime/b.ts', 'engines-stand-alone'],
  [
    'src-main/engines/onnxruntime-gpu/other.ts',
    'src-main/engines/reference/b.ts',
    'onnxruntime-on-gpus-is-onnxruntime',
  ],
  ['src-main/engines/catalogue/adapter.ts', 'src-main/adapters/files/b.ts', 'catalogue-knows-the-backends'],
  ['src-main/app/adapter.ts', 'src-main/adapters/files/b.ts', 'app-receives-its-adapters'],
  ['src-main/workers/app.ts', 'src-main/app/b.ts', 'workers-compose-compute'],
  ['src-main/assembly/worker.ts', 'src-main/workers/compute.ts', 'workers-run-elsewhere'],
  ['src-main/assembly/shell.ts', 'src-main/headless/b.ts', 'assembly-builds-the-node'],
  ['src-main/headless/electron.ts', 'electron', 'headless-never-imports-electron'],
  ['src-main/electron/headless.ts', 'src-main/headless/b.ts', 'electron-never-imports-headless'],
  ['src-main/app/electron.ts', 'electron', 'electron-only-in-its-shell'],
  ['src-main/headless/engine.ts', 'src-main/engines/onnxruntime/b.ts', 'shells-use-what-is-assembled'],
  ['src-main/electron/sqlite.ts', 'src-main/adapters/sqlite/b.ts', 'shells-use-what-is-assembled'],
  ['src-main/launcher/shell.ts', 'src-main/headless/b.ts', 'launcher-stands-alone'],
  ['src-renderer/app.ts', 'src-main/app/b.ts', 'renderer-knows-only-the-api'],
  ['src-renderer/wire.ts', 'src-main/contracts/wire/b.ts', 'renderer-knows-only-the-api'],
  ['src-renderer/test.ts', 'test/fakes/b.ts', 'nothing-ships-from-test'],
  ['src-main/app/nowhere.ts', 'no-such-package', 'no-unresolvable'],
  ['src-main/app/cycle-a.ts', 'src-main/app/cycle-b.ts', 'no-cycles'],
]

const allowed: readonly (readonly [file: string, imported: string])[] = [
  ['src-main/core/hosting/port.ts', 'src-main/core/ports/b.ts'],
  ['src-main/adapters/sqlite/port.ts', 'src-main/core/ports/b.ts'],
  ['src-main/engines/onnxruntime-gpu/cpu.ts', 'src-main/engines/onnxruntime/b.ts'],
  ['src-main/engines/catalogue/backend.ts', 'src-main/engines/onnxruntime/b.ts'],
  ['src-main/workers/engine.ts', 'src-main/engines/shared/b.ts'],
  ['src-main/assembly/options.ts', 'src-main/workers/compute-options.ts'],
  ['src-main/assembly/adapter.ts', 'src-main/adapters/files/b.ts'],
  ['src-main/electron/electron.ts', 'electron'],
  ['src-renderer/api.ts', 'src-main/contracts/api/b.ts'],
]

/** The other half of a cycle, which is reported once. */
const unchecked: readonly (readonly [file: string, imported: string])[] = [
  ['src-main/app/cycle-b.ts', 'src-main/app/cycle-a.ts'],
]

/** A small house with one import a file, laid out like the real one. */
const house = resolve(import.meta.dirname, '../../test-output/layers')
let violations: { readonly from: string; readonly rule: { readonly name: string } }[] = []

beforeAll(async () => {
  const { default: rules } = (await import(pathToFileURL(resolve(house, '../../.dependency-cruiser.mjs')).href)) as {
    default: { options: ICruiseOptions; forbidden: object[] }
  }
  const all = [...forbidden, ...allowed, ...unchecked]
  const files = new Set(all.flatMap(([file, imported]) => (imported.includes('/') ? [file, imported] : [file])))
  for (const file of files) write(file, 'export const x = 1\n')
  for (const [file, imported] of all) {
    const up = '../'.repeat(file.split('/').length - 1)
    write(file, `import '${imported.includes('/') ? `${up}${imported}` : imported}'\nexport const x = 1\n`)
  }
  const options = { ...rules.options, ruleSet: { forbidden: rules.forbidden }, validate: true, baseDir: house }
  const { output } = await cruise(['src-main', 'src-renderer'], options as ICruiseOptions)
  violations = (output as ICruiseResult).summary.violations
})
afterAll(() => rmSync(house, { recursive: true, force: true }))

function write(file: string, text: string): void {
  const path = join(house, file)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

const rulesBrokenBy = (file: string) => violations.filter(({ from }) => from === file).map(({ rule }) => rule.name)

describe('the layers', () => {
  test.each(forbidden)('%s may not import %s', (file, _, rule) => {
    expect(rulesBrokenBy(file)).toContain(rule)
  })

  test.each(allowed)('%s may import %s', (file) => {
    expect(rulesBrokenBy(file)).toEqual([])
  })
})
