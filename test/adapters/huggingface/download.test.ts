import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createHuggingFaceHub, type HuggingFaceHubInit } from '#adapters/huggingface/huggingface-hub.ts'
import { usualRetries } from '#adapters/huggingface/retry.ts'
import { CodedError, InvalidInputError } from '#contracts/errors.ts'
import { DownloadError, StorageError } from '#core/errors.ts'
import type { HubModel, ModelHub } from '#core/ports/model-hub.ts'
import { type LocalHub, type LocalHubInit, type Mishap, startLocalHub } from './local-hub.ts'

const repository = 'acme/tiny-llama'
const weights = new Uint8Array(300_000).map((_, index) => (index * 31 + (index >> 8)) % 256)
const small = new TextEncoder().encode('{"a":1}')
const files = { 'tokenizer.json': small, 'model.safetensors': weights, 'sub/part-1.gguf': weights.subarray(0, 1000) }
const all = Object.keys(files)
const sha256 = createHash('sha256').update(weights).digest('hex')
const partialName = `model.safetensors.${sha256}.partial`

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'huggingface-test-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

interface Setting {
  readonly hub: ModelHub
  readonly local: LocalHub
  readonly model: HubModel
}

async function withHub(
  mishap: LocalHubInit['mishap'],
  use: (setting: Setting) => Promise<void>,
  options: HuggingFaceHubInit & Partial<LocalHubInit> = {},
): Promise<void> {
  const { listed, ...init } = options
  const large = ['model.safetensors', 'sub/part-1.gguf']
  await using local = await startLocalHub({
    repository,
    files,
    large,
    ...(mishap === undefined ? {} : { mishap }),
    ...(listed === undefined ? {} : { listed }),
  })
  const hub = createHuggingFaceHub({ hubUrl: local.url, pause: async () => {}, ...init })
  await use({ hub, local, model: await hub.describe(repository) })
}

/** Something goes wrong with the weights each time they are asked for, in this order. */
const withWeights =
  (...mishaps: readonly (Mishap | undefined)[]) =>
  (request: { kind: string; path: string }, count: number) =>
    request.kind === 'blob' && request.path === 'model.safetensors' ? mishaps[count] : undefined

const rangesOf = (local: LocalHub) =>
  local.requests
    .filter(({ kind, path }) => kind === 'blob' && path === 'model.safetensors')
    .map(({ range }) => range?.slice('bytes='.length))

const fetchWeights = ({ hub, model }: Setting, options: { signal?: AbortSignal } = {}) =>
  hub.download(model, { directory, files: ['model.safetensors'], ...options })

const readWeights = () => readFile(join(directory, 'model.safetensors'))

describe('a download', () => {
  it('puts whole files at their paths, and tells how far it is', async () => {
    await withHub(undefined, async ({ hub, model }) => {
      const progress: number[] = []
      const bytesTotal = small.length + weights.length + 1000
      await hub.download(model, {
        directory: join(directory, 'new'),
        files: all,
        onProgress: (now) => {
          expect(now.bytesTotal).toBe(bytesTotal)
          progress.push(now.bytesDone)
        },
      })
      for (const [path, bytes] of Object.entries(files)) {
        expect((await readFile(join(directory, 'new', path))).equals(bytes), path).toBe(true)
      }
      expect(progress).toEqual([...progress].sort((a, b) => a - b))
      expect(progress.at(-1)).toBe(bytesTotal)
      expect((await readdir(join(directory, 'new'))).sort()).toEqual(['model.safetensors', 'sub', 'tokenizer.json'])
    })
  })

  it('follows large files to another host, without the access token', async () => {
    await withHub(
      undefined,
      async (setting) => {
        await fetchWeights(setting)
        const asked = setting.local.requests.filter(({ path }) => path === 'model.safetensors')
        expect(asked.map(({ kind, authorization }) => [kind, authorization])).toEqual([
          ['file', 'Bearer hf_secret'],
          ['blob', undefined],
        ])
      },
      { accessToken: 'hf_secret' },
    )
  })

  it('goes on where a connection was cut, and asks for nothing twice', async () => {
    const cuts = withWeights({ kind: 'cut', afterBytes: 100_000 }, { kind: 'short', bytes: 50_000 })
    await withHub(cuts, async (setting) => {
      await fetchWeights(setting)
      expect((await readWeights()).equals(weights)).toBe(true)
      const [first, second, third] = rangesOf(setting.local)
      expect(first).toBe('0-299999')
      // What was under way when a connection broke may be lost with it.
      const begin = Number(second?.split('-')[0])
      expect(begin).toBeLessThanOrEqual(100_000)
      expect(third).toBe(`${begin + 50_000}-299999`)
    })
  })

  it('goes on where an earlier run was stopped', async () => {
    await withHub(undefined, async (setting) => {
      await writeFile(join(directory, partialName), weights.subarray(0, 123_456))
      await fetchWeights(setting)
      expect((await readWeights()).equals(weights)).toBe(true)
      expect(rangesOf(setting.local)).toEqual(['123456-299999'])
      expect(await readdir(directory)).toEqual(['model.safetensors'])
    })
  })

  it('asks for nothing when everything is there, by its bytes', async () => {
    await withHub(undefined, async (setting) => {
      await fetchWeights(setting)
      await fetchWeights(setting)
      expect(rangesOf(setting.local)).toHaveLength(1)
      await writeFile(join(directory, 'model.safetensors'), new Uint8Array(weights.length))
      await fetchWeights(setting)
      expect((await readWeights()).equals(weights)).toBe(true)
    })
  })

  it('that has all bytes of a partial file only puts it in place', async () => {
    await withHub(undefined, async (setting) => {
      await writeFile(join(directory, partialName), weights)
      await fetchWeights(setting)
      expect(rangesOf(setting.local)).toEqual([])
      expect((await readWeights()).equals(weights)).toBe(true)
    })
  })

  it('starts anew on a partial file that is too long, and drops one of an earlier revision', async () => {
    await withHub(undefined, async (setting) => {
      await writeFile(join(directory, partialName), new Uint8Array(weights.length + 1))
      await writeFile(join(directory, `model.safetensors.${'a'.repeat(64)}.partial`), 'of another revision')
      await writeFile(join(directory, 'model.safetensors.md'), 'not ours')
      await fetchWeights(setting)
      expect((await readWeights()).equals(weights)).toBe(true)
      expect((await readdir(directory)).sort()).toEqual(['model.safetensors', 'model.safetensors.md'])
    })
  })

  it('copes with a server that cannot send parts', async () => {
    const mishaps = withWeights({ kind: 'cut', afterBytes: 80_000 }, { kind: 'whole-file' })
    await withHub(mishaps, async (setting) => {
      await fetchWeights(setting)
      expect((await readWeights()).equals(weights)).toBe(true)
    })
  })

  it('by two at the same time, in one folder, is whole for both', async () => {
    await withHub(undefined, async (setting) => {
      await Promise.all([fetchWeights(setting), fetchWeights(setting)])
      expect((await readWeights()).equals(weights)).toBe(true)
    })
  })

  it('stopped by its caller keeps what had come', async () => {
    const stopping = new AbortController()
    await withHub(withWeights({ kind: 'stall', afterBytes: 70_000 }), async ({ hub, model }) => {
      const stopped = hub.download(model, {
        directory,
        files: ['model.safetensors'],
        signal: stopping.signal,
        onProgress: ({ bytesDone }) => {
          if (bytesDone >= 70_000) stopping.abort()
        },
      })
      await expect(stopped).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
      expect((await stat(join(directory, partialName))).size).toBe(70_000)
    })
  })

  it('ended by kill -9 goes on with the next start', async () => {
    await withHub(withWeights({ kind: 'stall', afterBytes: 90_000 }), async (setting) => {
      const script = `
        import { createHuggingFaceHub } from '#adapters/huggingface/huggingface-hub.ts'
        const hub = createHuggingFaceHub({ hubUrl: '${setting.local.url}' })
        const onProgress = ({ bytesDone }) => { if (bytesDone >= 90_000) process.stdout.write('enough') }
        await hub.download(await hub.describe('${repository}'), {
          directory: ${JSON.stringify(directory)}, files: ['model.safetensors'], onProgress })`
      const root = join(import.meta.dirname, '../../..')
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: root })
      await new Promise((resolve) => child.stdout.once('data', resolve))
      child.kill('SIGKILL')
      await new Promise((resolve) => child.once('exit', resolve))
      await fetchWeights(setting)
      expect((await readWeights()).equals(weights)).toBe(true)
      expect(rangesOf(setting.local)).toEqual(['0-299999', '90000-299999'])
    })
  })
})

describe('what a hub sends, if it is not what it stated,', () => {
  it('is deleted when the digest is another, and said so by file', async () => {
    await withHub(withWeights({ kind: 'wrong-byte', at: 299_000 }), async (setting) => {
      const wrong = fetchWeights(setting)
      await expect(wrong).rejects.toThrow('model.safetensors: the bytes that came have another SHA-256')
      await expect(wrong).rejects.toThrow(DownloadError)
      expect(await readdir(directory)).toEqual([])
      await fetchWeights(setting)
      expect((await readWeights()).equals(weights)).toBe(true)
    })
  })

  it('is also found out in small files, by Git’s hash', async () => {
    const mishap = (request: { kind: string; path: string }) =>
      request.path === 'tokenizer.json' ? ({ kind: 'wrong-byte', at: 2 } as const) : undefined
    await withHub(mishap, async ({ hub, model }) => {
      const wrong = hub.download(model, { directory, files: ['tokenizer.json'] })
      await expect(wrong).rejects.toThrow('tokenizer.json: the bytes that came have another Git hash')
    })
  })

  it.each<[Mishap, string]>([
    [{ kind: 'other-total', totalBytes: 300_001 }, '300001 bytes long, the hub stated 300000'],
    [{ kind: 'other-start', begin: 7 }, 'bytes from 7 on came, those from 1000 on were asked for'],
    [{ kind: 'compressed' }, 'came compressed'],
    [{ kind: 'status', status: 416 }, 'shorter than the hub stated'],
    [{ kind: 'status', status: 404 }, 'does not have it'],
    [{ kind: 'status', status: 206 }, 'does not say which'],
    [{ kind: 'body', body: 'an apology', headers: { 'content-length': '10' } }, '10 bytes long'],
  ])('is refused without another try: %j', async (mishap, sentence) => {
    await withHub(withWeights(mishap), async (setting) => {
      await writeFile(join(directory, partialName), weights.subarray(0, 1000))
      const refused = fetchWeights(setting)
      await expect(refused).rejects.toThrow(sentence)
      await expect(refused).rejects.toThrow(/^model\.safetensors: /)
      expect((await readFile(join(directory, partialName))).equals(weights.subarray(0, 1000))).toBe(true)
      expect(rangesOf(setting.local)).toHaveLength(1)
    })
  })

  it('never fills more than was stated', async () => {
    const listed = { 'model.safetensors': { size: 10, lfs: { oid: sha256, size: 10, pointerSize: 1 } } }
    await withHub(
      withWeights({ kind: 'long', bytes: 500 }),
      async (setting) => {
        await expect(fetchWeights(setting)).rejects.toThrow(DownloadError)
        const [name] = await readdir(directory)
        if (name !== undefined) expect((await stat(join(directory, name))).size).toBeLessThanOrEqual(10)
      },
      { listed },
    )
  })

  it('is waited for as long as silence is allowed, then asked for again', async () => {
    await withHub(
      withWeights({ kind: 'stall', afterBytes: 10 }, { kind: 'stall', afterBytes: 0 }),
      async (setting) => {
        await fetchWeights(setting)
        expect((await readWeights()).equals(weights)).toBe(true)
        expect(rangesOf(setting.local)).toEqual(['0-299999', '10-299999', '10-299999'])
      },
      { idleTimeoutMs: 100 },
    )
  })

  it('or sends nothing but failures, is given up with the partial file kept', async () => {
    const mishap = withWeights({ kind: 'cut', afterBytes: 1000 }, ...Array(20).fill({ kind: 'status', status: 503 }))
    await withHub(mishap, async (setting) => {
      await expect(fetchWeights(setting)).rejects.toThrow('model.safetensors: the hub said 503, 8 tries in a row')
      expect(await readdir(directory)).toEqual([partialName])
    })
  })

  it('whatever the cuts, is in the end the same byte for byte, or a failure that names the file and keeps what came', async () => {
    const bytes = new Uint8Array(20_000).map((_, index) => (index * 7) % 251)
    const hex = createHash('sha256').update(bytes).digest('hex')
    const fault = fc.oneof(
      fc.nat(25_000).map((afterBytes): Mishap => ({ kind: 'cut', afterBytes })),
      fc.nat(20_000).map((length): Mishap => ({ kind: 'short', bytes: length })),
      fc.nat(40_000).map((at): Mishap => ({ kind: 'wrong-byte', at })),
      fc.constantFrom(429, 500, 503, 401).map((status): Mishap => ({ kind: 'status', status })),
      fc.constant<Mishap>({ kind: 'whole-file' }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(fault, { maxLength: 12 }), fc.nat(20_000), async (mishaps, earlier) => {
        const folder = await mkdtemp(join(directory, 'run-'))
        const mishap: LocalHubInit['mishap'] = ({ kind }, count) => (kind === 'blob' ? mishaps[count] : undefined)
        await using local = await startLocalHub({ repository, files: { f: bytes }, large: ['f'], mishap })
        const hub = createHuggingFaceHub({ hubUrl: local.url, pause: async () => {}, retries: usualRetries })
        const model = await hub.describe(repository)
        await writeFile(join(folder, `f.${hex}.partial`), bytes.subarray(0, earlier))
        const thrown: unknown = await hub.download(model, { directory: folder, files: ['f'] }).catch((error) => error)
        if (thrown === undefined) {
          expect((await readFile(join(folder, 'f'))).equals(bytes)).toBe(true)
          return
        }
        expect(thrown).toBeInstanceOf(DownloadError)
        expect(thrown).toMatchObject({ params: { where: 'f' } })
        expect(existsSync(join(folder, 'f'))).toBe(false)
        const wasWrong = thrown instanceof CodedError && thrown.message.includes('deleted')
        const kept = await readdir(folder)
        expect(kept).toHaveLength(wasWrong ? 0 : 1)
        if (!wasWrong) expect((await stat(join(folder, `f.${hex}.partial`))).size).toBeGreaterThanOrEqual(earlier)
      }),
      { numRuns: 60 },
    )
  })
})

describe('a download that cannot begin', () => {
  it('because the disk has no room says how much it wants', async () => {
    await withHub(
      undefined,
      async ({ hub, model, local }) => {
        const before = local.requests.length
        const options = { directory, files: ['model.safetensors'], reserveBytes: 500 }
        await expect(hub.download(model, options)).rejects.toThrow('300500 bytes needed, 300499 free')
        await expect(hub.download(model, options)).rejects.toThrow(StorageError)
        await writeFile(join(directory, partialName), weights.subarray(0, 1))
        await hub.download(model, options)
        expect(local.requests.length).toBeGreaterThan(before)
      },
      { freeBytes: async () => 300_499 },
    )
  })

  it.each([[['no-such-file']], [['tokenizer.json', 'TOKENIZER.JSON']], [['../x']]])('for files %j', async (asked) => {
    await withHub(undefined, async ({ hub, model }) => {
      await expect(hub.download(model, { directory, files: asked })).rejects.toThrow(InvalidInputError)
    })
  })

  it('because something else lies at the file’s place names the place', async () => {
    await withHub(undefined, async (setting) => {
      await mkdir(join(directory, 'model.safetensors'))
      await expect(fetchWeights(setting)).rejects.toThrow(StorageError)
    })
  })
})
