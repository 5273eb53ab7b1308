import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createWeightCache } from '#adapters/files/weight-cache.ts'
import { createProgressLine } from '#headless/actions/model-progress.ts'
import { runCli } from '#headless/cli.ts'
import { type LocalHubInit, startLocalHub } from '../adapters/huggingface/local-hub.ts'

const seedling = resolve(import.meta.dirname, '../../resources/models/seedling')
const repository = 'acme/sprout'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'model-download-test-'))
  vi.stubEnv('QUILTBEE_HOME', home)
  vi.stubEnv('HF_TOKEN', '')
})
afterEach(async () => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
  await rm(home, { recursive: true, force: true })
})

/** Runs one command; what it printed and returned. */
async function run(...args: string[]) {
  const printed = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      printed[name] += String(text)
      return true
    })
  }
  try {
    return { code: await runCli(args), ...printed }
  } finally {
    vi.restoreAllMocks()
  }
}

async function seedlingFiles(): Promise<Record<string, Uint8Array>> {
  const names = ['config.json', 'tokenizer.json', 'model.safetensors']
  const files = await Promise.all(names.map(async (name) => [name, await readFile(join(seedling, name))] as const))
  return { ...Object.fromEntries(files), 'other.bin': new Uint8Array(10) }
}

async function withHub(init: Partial<LocalHubInit>, use: () => Promise<void>): Promise<void> {
  const files = await seedlingFiles()
  const cardData = { license: 'mit' }
  await using local = await startLocalHub({ repository, files, large: ['model.safetensors'], cardData, ...init })
  vi.stubEnv('HF_ENDPOINT', `${local.url}/`)
  await use()
}

describe('quiltbee model download', () => {
  it('shows sizes, fetches, imports, tidies up, and prints what it imported', async () => {
    await withHub({}, async () => {
      const { code, stdout, stderr } = await run('model', 'download', repository, '--json')
      expect(code).toBe(0)
      // It ships with the app, so that it is known under that name already.
      expect(JSON.parse(stdout)).toMatchObject({ name: 'seedling', digest: expect.stringMatching(/^9dd6899c/) })
      expect(stderr).toMatch(/^acme\/sprout at 01234567, licence mit: [\d.]+ [KM]iB\n {2}config\.json/)
      expect(stderr).toMatch(/model\.safetensors +[\d.]+ [KM]iB/)
      expect(existsSync(join(home, 'downloads/acme/sprout'))).toBe(false)
      expect(existsSync(join(home, 'downloads'))).toBe(true)
    })
  }, 20_000)

  it('can name the model', async () => {
    await withHub({}, async () => {
      const { stdout } = await run('model', 'download', repository, '--name', 'my-model', '--revision', 'v1')
      expect(stdout).toMatch(/^Imported my-model \(9dd6899c\), /)
    })
  }, 20_000)

  it('refused in the middle keeps what came, and goes on when it is run again', async () => {
    const mishap: LocalHubInit['mishap'] = ({ kind }, count) =>
      kind === 'blob'
        ? (
            [
              { kind: 'cut', afterBytes: 100_000 },
              { kind: 'status', status: 401 },
            ] as const
          )[count]
        : undefined
    await withHub({ mishap }, async () => {
      const { code, stdout, stderr } = await run('model', 'download', repository)
      expect(code).toBe(3)
      expect(stdout).toBe('')
      expect(stderr).toContain('What has arrived is kept: run the same again to go on.')
      expect(stderr).toContain('error: model.safetensors: there is no such model, or it is not public')
      const kept = await readdir(join(home, 'downloads/acme/sprout'))
      expect(kept.filter((name) => name.endsWith('.partial'))).toHaveLength(1)
      expect((await run('model', 'download', repository)).code).toBe(0)
    })
  }, 20_000)

  it('offline says so in one plain sentence', async () => {
    const closed = createServer()
    await new Promise<void>((done) => closed.listen(0, '127.0.0.1', done))
    const { port } = closed.address() as AddressInfo
    await new Promise((done) => closed.close(done))
    vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${port}`)
    const { code, stderr } = await run('model', 'download', repository)
    expect(code).toBe(3)
    expect(stderr).toBe('error: acme/sprout: cannot be reached (ECONNREFUSED); is this machine online?\n')
    const json = await run('model', 'download', repository, '--json')
    expect(JSON.parse(json.stderr)).toMatchObject({ error: { code: 'download-failed', params: { where: repository } } })
  })

  it('of a kind that cannot be run fetches nothing large', async () => {
    const files = { ...(await seedlingFiles()), 'config.json': new TextEncoder().encode('{"model_type":"mamba"}') }
    await withHub({ files }, async () => {
      const { code, stderr } = await run('model', 'download', repository)
      expect([code, stderr]).toEqual([3, 'error: model type mamba\n'])
      expect(existsSync(join(home, 'downloads'))).toBe(false)
    })
  })

  it.each([
    [['not-a-repository'], 'repository: expected OWNER/NAME'],
    [[repository, '--file', 'x.gguf'], 'acme/sprout has no GGUF file x.gguf; it has no GGUF files'],
    [[repository, '--revision', '../x'], 'revision: expected a branch, tag or commit'],
  ])('with %j is wrong input', async (args, sentence) => {
    await withHub({}, async () => {
      const { code, stderr } = await run('model', 'download', ...args)
      expect(code).toBe(2)
      expect(stderr).toContain(sentence)
    })
  })
})

describe('quiltbee model cache', () => {
  const keep = async () => {
    const cache = createWeightCache({ directory: join(home, 'prepared-weights') })
    const key = { modelDigest: 'ab'.repeat(32), part: 'head', layout: 'int8-v1' }
    await (await cache.prepare(key, (append) => append(new Uint8Array(1000)))).release()
  }

  it('counts what is prepared, and removes it', async () => {
    expect((await run('model', 'cache')).stdout).toBe('No prepared weights.\n')
    await keep()
    expect((await run('model', 'cache')).stdout).toBe('Prepared weights: 1 file, 1 KiB.\n')
    expect((await run('model', 'cache', '--clear')).stdout).toBe('Removed 1 file, 1 KiB.\nNo prepared weights.\n')
    await keep()
    const { stdout } = await run('model', 'cache', '--clear', '--json')
    expect(JSON.parse(stdout)).toEqual({ files: 0, bytes: 0, cleared: { files: 1, bytes: 1024 } })
  })
})

describe('progress', () => {
  const lineOn = (isTTY: boolean) => {
    const written: string[] = []
    const stream = { isTTY, write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream
    return { written, line: createProgressLine(stream) }
  }

  it('is one line at a terminal, written over when the percent changes', () => {
    const { written, line } = lineOn(true)
    for (const bytesDone of [0, 1, 2, 1024]) line.show('Downloading', { bytesDone, bytesTotal: 1024 })
    line.end()
    line.end()
    expect(written).toEqual(['Downloading: 0 % of 1 KiB', '\r\x1b[KDownloading: 100 % of 1 KiB', '\n'])
  })

  it('is not written to a file', () => {
    const { written, line } = lineOn(false)
    line.show('Downloading', { bytesDone: 1, bytesTotal: 2 })
    line.end()
    expect(written).toEqual([])
  })
})
