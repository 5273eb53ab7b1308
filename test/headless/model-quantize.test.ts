import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createWeightCache } from '#adapters/files/weight-cache.ts'
import { runCli } from '#headless/cli.ts'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'model-quantize-test-'))
  vi.stubEnv('QUILTBEE_HOME', home)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(home, { recursive: true, force: true })
})

/** Runs `quiltbee model quantize`; what it printed and returned. */
async function quantize(...args: string[]) {
  const printed = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      printed[name] += String(text)
      return true
    })
  }
  try {
    return { code: await runCli(['model', 'quantize', ...args]), ...printed }
  } finally {
    vi.restoreAllMocks()
  }
}

const prepared = () => createWeightCache({ directory: join(home, 'prepared-weights') }).usage()

describe('quiltbee model quantize', () => {
  it('prepares every block and the head once, and says how large they are', async () => {
    const { code, stdout } = await quantize('seedling', '--weights', 'int8', '--json')
    expect(code).toBe(0)
    const said = JSON.parse(stdout)
    expect(said).toMatchObject({ name: 'seedling', weights: 'int8', bytesBefore: 3_477_760 })
    expect(said.bytesAfter).toBeLessThan(said.bytesBefore)
    const { files, bytes } = await prepared()
    expect(files).toBe(9)

    const again = await quantize('seedling', '--weights', 'int8')
    expect(again.stdout).toMatch(/^Prepared seedling: 3\.32 MiB as stored, [\d.]+ MiB as int8, in [\d.]+ s\.\n$/)
    expect(await prepared()).toEqual({ files, bytes })
  }, 30_000)

  it('refuses a model that is not here, and a format that is none, with codes of their own', async () => {
    const unknown = await quantize('nobody-has-this', '--weights', 'int4', '--json')
    expect(unknown.code).toBe(3)
    expect(JSON.parse(unknown.stderr)).toMatchObject({ error: { code: 'model-not-found' } })
    expect((await quantize('seedling', '--weights', 'int3')).code).toBe(2)
    expect((await quantize('seedling')).code).toBe(2)
  })
})
