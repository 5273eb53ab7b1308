import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createHuggingFaceHub, type HuggingFaceHubInit } from '#adapters/huggingface/huggingface-hub.ts'
import { usualRetries } from '#adapters/huggingface/retry.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { DownloadError } from '#core/errors.ts'
import { type LocalHubInit, localRevision, startLocalHub } from './local-hub.ts'

const repository = 'acme/tiny-llama'
const bytesOf = (text: string) => new TextEncoder().encode(text)
const files = {
  'config.json': bytesOf('{"model_type":"llama","num_hidden_layers":5,"extra":{"deep":[1]}}'),
  'model.safetensors': bytesOf('the weights'),
  'README.md': bytesOf('hello'),
}

async function withHub<T>(
  init: Partial<LocalHubInit>,
  use: (hub: ReturnType<typeof createHuggingFaceHub>, local: Awaited<ReturnType<typeof startLocalHub>>) => Promise<T>,
  options: HuggingFaceHubInit = {},
): Promise<T> {
  await using local = await startLocalHub({ repository, files, large: ['model.safetensors'], ...init })
  return await use(createHuggingFaceHub({ hubUrl: local.url, pause: async () => {}, ...options }), local)
}

describe('a model at a hub', () => {
  it('is described by its files with their digests, its commit, licence and shape', async () => {
    const model = await withHub({ cardData: { license: 'apache-2.0' } }, (hub) => hub.describe(repository))
    expect(model).toEqual({
      repository,
      revision: localRevision,
      licence: 'apache-2.0',
      config: { modelType: 'llama', blockCount: 5 },
      files: [
        {
          path: 'config.json',
          sizeBytes: files['config.json'].length,
          digest: { kind: 'git-blob-sha1', hex: expect.stringMatching(/^[0-9a-f]{40}$/) },
        },
        {
          path: 'model.safetensors',
          sizeBytes: 11,
          digest: { kind: 'sha256', hex: expect.stringMatching(/^[0-9a-f]{64}$/) },
        },
        // As `printf hello | git hash-object --stdin` says.
        {
          path: 'README.md',
          sizeBytes: 5,
          digest: { kind: 'git-blob-sha1', hex: 'b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0' },
        },
      ],
    })
  })

  it('may list its files over several pages, and have some whose names are of no use here', async () => {
    const odd = { '.gitattributes': bytesOf('x'), 'a b.txt': bytesOf('x'), 'figures/größe.png': bytesOf('x') }
    const model = await withHub({ pageSize: 1, files: { ...odd, ...files } }, (hub) => hub.describe(repository))
    expect(model.files.map(({ path }) => path)).toEqual(Object.keys(files))
  })

  it.each([
    [{ license: ['mit', 'cc0-1.0'] }, 'mit, cc0-1.0'],
    [{ license: 'other', license_name: 'community' }, 'community'],
    [{ license: 7 }, null],
    [undefined, null],
  ])('with a card of %j has the licence %s', async (cardData, licence) => {
    expect((await withHub({ cardData }, (hub) => hub.describe(repository))).licence).toBe(licence)
  })

  it('is asked for at a revision', async () => {
    await withHub({}, async (hub, local) => {
      await hub.describe(repository, { revision: 'refs/pr/1' })
      expect(local.requests[0]?.path).toBe(`/api/models/${repository}/revision/refs/pr/1`)
      expect(local.requests[1]?.path).toBe(`/api/models/${repository}/tree/${localRevision}`)
    })
  })

  it('is asked for with the access token, which no other host sees', async () => {
    await withHub(
      {},
      async (hub, local) => {
        await hub.describe(repository)
        expect(local.requests.map(({ authorization }) => authorization)).toEqual(Array(3).fill('Bearer hf_secret'))
      },
      { accessToken: 'hf_secret' },
    )
  })
})

describe('a hub that does not answer as it should', () => {
  it.each([
    [401, {}, 'there is no such model, or it is not public: set HF_TOKEN'],
    [403, { 'x-error-code': 'GatedRepo' }, 'its makers want their terms accepted first'],
    [404, { 'x-error-code': 'RevisionNotFound' }, 'there is no such revision'],
    [404, {}, 'the hub does not have it'],
    [400, {}, 'the hub said 400'],
  ])('with %i %j is not asked again', async (status, headers, sentence) => {
    const mishap = () => ({ kind: 'status', status, headers }) as const
    await withHub({ mishap }, async (hub, local) => {
      await expect(hub.describe(repository)).rejects.toThrow(sentence)
      await expect(hub.describe(repository)).rejects.toThrow(DownloadError)
      expect(local.requests).toHaveLength(2)
    })
  })

  it('for a moment is asked again, as late as it wishes', async () => {
    const pauses: number[] = []
    const busy = [
      { kind: 'status', status: 429, headers: { 'retry-after': '7' } },
      { kind: 'status', status: 503 },
      { kind: 'cut', afterBytes: 0 },
    ] as const
    const model = await withHub(
      { mishap: (request, count) => (request.kind === 'file' ? busy[count] : undefined) },
      (hub) => hub.describe(repository),
      { pause: async (milliseconds) => void pauses.push(milliseconds) },
    )
    expect(model.config?.blockCount).toBe(5)
    expect(pauses).toEqual([7000, 1000, 2000])
  })

  it('for longer than anyone waits is given up', async () => {
    const mishap = () => ({ kind: 'status', status: 429, headers: { 'retry-after': '3600' } }) as const
    await withHub({ mishap }, async (hub, local) => {
      await expect(hub.describe(repository)).rejects.toThrow('asks to slow down, for 3600 seconds')
      expect(local.requests).toHaveLength(1)
    })
  })

  it('again and again is given up after so many tries', async () => {
    const mishap = () => ({ kind: 'status', status: 500 }) as const
    await withHub({ mishap }, async (hub, local) => {
      await expect(hub.describe(repository)).rejects.toThrow('the hub said 500, 8 tries in a row')
      expect(local.requests).toHaveLength(8)
    })
  })

  it('because this machine is offline is said in a plain sentence, at once', async () => {
    const closed = createServer()
    await new Promise<void>((done) => closed.listen(0, '127.0.0.1', done))
    const { port } = closed.address() as AddressInfo
    await new Promise((done) => closed.close(done))
    const hub = createHuggingFaceHub({ hubUrl: `http://127.0.0.1:${port}` })
    await expect(hub.describe(repository)).rejects.toThrow(
      'acme/tiny-llama: cannot be reached (ECONNREFUSED); is this machine online?',
    )
  })

  it('with silence is cut off', async () => {
    const retries = { ...usualRetries, fruitlessTries: 2 }
    const mishap = (request: { kind: string }) =>
      request.kind === 'file' ? ({ kind: 'stall', afterBytes: 3 } as const) : undefined
    await withHub(
      { mishap },
      async (hub) => {
        await expect(hub.describe(repository)).rejects.toThrow('config.json: nothing came for 0.05 seconds, 2 tries')
      },
      { retries, idleTimeoutMs: 50 },
    )
  })

  it.each([
    ['info', 'not JSON'],
    ['info', '{"sha":"../../etc"}'],
    ['info', 'null'],
    ['tree', '{"not":"a list"}'],
    ['file', '{"model_type":"llama"}'.padEnd(files['config.json'].length)],
  ])('but with other %s, %s, is refused by name', async (kind, body) => {
    const mishap = (request: { kind: string }) =>
      request.kind === kind ? ({ kind: 'body', body } as const) : undefined
    await withHub({ mishap }, async (hub) => {
      await expect(hub.describe(repository)).rejects.toThrow(DownloadError)
    })
  })

  it('but points to another host for its list is refused: that host would see the token', async () => {
    const headers = { link: '<http://127.0.0.2:1/api/models/x/tree/y>; rel="next"' }
    const mishap = (request: { kind: string }) =>
      request.kind === 'tree' ? ({ kind: 'body', body: '[]', headers } as const) : undefined
    await withHub({ mishap }, async (hub) => {
      await expect(hub.describe(repository)).rejects.toThrow('points to another host')
    })
  })

  it('is left at once when the caller has enough', async () => {
    const stopping = new AbortController()
    const mishap = () => {
      stopping.abort()
      return { kind: 'status', status: 500 } as const
    }
    await withHub({ mishap }, async (hub) => {
      const described = hub.describe(repository, { signal: stopping.signal })
      await expect(described).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
    })
  })
})

describe('names', () => {
  const hub = createHuggingFaceHub({ hubUrl: 'http://127.0.0.1:1' })

  it('of no repository are refused before anything is asked', async () => {
    for (const name of [
      '',
      'x',
      'a/b/c',
      '../x',
      'a/..',
      'a/.b',
      'a b/c',
      'a/b?c',
      'datasets/a/b',
      'a--b/c',
      `a/${'b'.repeat(97)}`,
    ]) {
      await expect(hub.describe(name), name).rejects.toThrow(InvalidInputError)
    }
  })

  it('of any text are refused or asked for, never something else', async () => {
    const refused = (thrown: unknown) => thrown instanceof InvalidInputError || thrown instanceof DownloadError
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), fc.string(), async (name, revision) => {
        const thrown: unknown = await hub.describe(name, { revision }).catch((error: unknown) => error)
        expect(refused(thrown)).toBe(true)
      }),
      { numRuns: 50 },
    )
  })

  it.each(['', 'ftp://x', 'https://x/', 'https://user@x', 'https://x?y', 'x'])(
    'of no hub, as %j, are refused',
    (hubUrl) => {
      expect(() => createHuggingFaceHub({ hubUrl })).toThrow(InvalidInputError)
    },
  )

  it('of a token that is none are refused without being repeated', () => {
    expect(() => createHuggingFaceHub({ accessToken: 'my secret' })).toThrow(/^(?!.*my secret).*HF_TOKEN/)
  })
})
