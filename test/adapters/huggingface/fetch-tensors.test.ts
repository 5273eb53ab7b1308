import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createHuggingFaceHub } from '#adapters/huggingface/huggingface-hub.ts'
import { safetensorsHeader } from '#adapters/models/safetensors-writer.ts'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import { DownloadError, ModelFormatError } from '#core/errors.ts'
import type { StoredTensor } from '#core/ports/model-store.ts'
import { type LocalHub, type LocalHubInit, type Mishap, startLocalHub } from './local-hub.ts'

const repository = 'acme/tiny-llama'

interface Tensor {
  readonly name: string
  readonly dtype: 'F32' | 'F16'
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

function tensor(name: string, dtype: Tensor['dtype'], shape: readonly number[]): Tensor {
  const length = shape.reduce((product, size) => product * size, dtype === 'F32' ? 4 : 2)
  return { name, dtype, shape, bytes: new Uint8Array(length).map((_, index) => (index * 13 + name.length) % 256) }
}

const embedding = tensor('model.embed_tokens.weight', 'F16', [1000, 64])
const norms = [0, 1, 2].map((block) => tensor(`model.layers.${block}.input_layernorm.weight`, 'F32', [64]))
const gates = [0, 1, 2].map((block) => tensor(`model.layers.${block}.mlp.gate_proj.weight`, 'F16', [128, 64]))
const all = [embedding, ...norms, ...gates]
const blockOne = ['model.layers.1.mlp.gate_proj.weight', 'model.layers.1.input_layernorm.weight']

const safetensors = (tensors: readonly Tensor[]) =>
  Buffer.concat([safetensorsHeader(tensors), ...tensors.map(({ bytes }) => bytes)])

const manifest = {
  name: 'tiny-llama',
  tensors: all.map(({ bytes, ...entry }) => ({ ...entry, sha256: createHash('sha256').update(bytes).digest('hex') })),
} as unknown as ModelManifest

const single = { 'model.safetensors': safetensors(all) }
const shards = {
  'model-00001-of-00002.safetensors': safetensors([embedding, ...gates]),
  'model-00002-of-00002.safetensors': safetensors(norms),
}
const sharded = {
  ...shards,
  'model.safetensors.index.json': new TextEncoder().encode(
    JSON.stringify({
      metadata: { total_size: 1 },
      weight_map: Object.fromEntries(
        all.map(({ name }) => [name, Object.keys(shards)[name.includes('layernorm') ? 1 : 0]]),
      ),
    }),
  ),
}

interface Fetched {
  readonly tensors: readonly StoredTensor[]
  readonly requests: LocalHub['requests']
  readonly progress: readonly number[]
}

async function fetchFrom(
  files: LocalHubInit['files'],
  names: readonly string[],
  mishap: LocalHubInit['mishap'] = () => undefined,
  stated: ModelManifest = manifest,
): Promise<Fetched> {
  const large = Object.keys(files).filter((path) => path.endsWith('.safetensors'))
  await using local = await startLocalHub({ repository, files, large, mishap })
  const hub = createHuggingFaceHub({ hubUrl: local.url, pause: async () => {} })
  const model = await hub.describe(repository)
  const tensors: StoredTensor[] = []
  const progress: number[] = []
  const onProgress = (now: { bytesDone: number; bytesTotal: number }) => {
    progress.push(now.bytesDone / now.bytesTotal)
  }
  for await (const fetched of hub.fetchTensors(model, { manifest: stated, names, onProgress })) tensors.push(fetched)
  return { tensors, progress, requests: local.requests.filter(({ kind }) => kind === 'blob') }
}

const wanted = blockOne.map((name) => all.find((candidate) => candidate.name === name))

describe('tensors of one block of a published model', () => {
  it.each([
    ['one file', single],
    ['several files', sharded],
  ])('are fetched from %s as they are, in the order asked for', async (_, files) => {
    const { tensors, progress } = await fetchFrom(files, blockOne)
    expect(tensors).toEqual(wanted)
    expect(progress.at(-1)).toBe(1)
  })

  it('are all that is read, besides the header', async () => {
    const { requests } = await fetchFrom(single, blockOne)
    const lengths = requests.map(({ range }) => {
      const [begin, end] = range?.slice('bytes='.length).split('-').map(Number) ?? []
      return (end ?? 0) + 1 - (begin ?? 0)
    })
    const headerBytes = safetensorsHeader(all).length
    expect(lengths).toEqual([8, headerBytes - 8, 128 * 64 * 2, 64 * 4])
  })

  it('arrive whole through connections that are cut', async () => {
    const cuts: Mishap[] = [5, 90, 6000, 9000, 100].map((afterBytes) => ({ kind: 'cut', afterBytes }))
    const { tensors } = await fetchFrom(single, blockOne, ({ kind }, count) =>
      kind === 'blob' ? cuts[count] : undefined,
    )
    expect(tensors).toEqual(wanted)
  })

  it('are refused by name when a byte is another than the manifest’s', async () => {
    const at = single['model.safetensors'].length - 128 * 64 * 2 - 10
    const wrong = fetchFrom(single, blockOne, () => ({ kind: 'wrong-byte', at }))
    await expect(wrong).rejects.toThrow(
      'model.safetensors: tensor model.layers.1.mlp.gate_proj.weight: the bytes that came have another SHA-256',
    )
    await expect(wrong).rejects.toThrow(DownloadError)
  })

  it('are refused when type or shape are others than the manifest’s', async () => {
    const other = all.map((entry) => (entry.name === blockOne[0] ? { ...entry, shape: [64, 128] } : entry))
    await expect(fetchFrom({ 'model.safetensors': safetensors(other) }, blockOne)).rejects.toThrow(
      'F16 of shape [64,128], the manifest has F16 of [128,64]',
    )
  })

  it('that the manifest does not have are not looked for', async () => {
    await expect(fetchFrom(single, ['model.layers.9.mlp.gate_proj.weight'])).rejects.toThrow(ModelFormatError)
  })
})

describe('a published model whose files are not sound', () => {
  const header = (value: unknown, claimed?: number) => {
    const json = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(claimed ?? json.length))
    return { 'model.safetensors': Buffer.concat([length, json, new Uint8Array(1000)]) }
  }
  const entry = (data_offsets: unknown) =>
    header({ [String(blockOne[1])]: { dtype: 'F32', shape: [64], data_offsets } })

  it.each([
    ['no weights at all', {}, 'not in safetensors files'],
    ['a file that is too short', { 'model.safetensors': new Uint8Array(7) }, 'too short for a header'],
    ['a header longer than the file', header('{}', 2000), 'its header claims 2000 bytes'],
    ['a header of absurd length', header('{}', 2 ** 52), 'its header claims'],
    ['a header that is not JSON', header('{"a":'), 'not JSON'],
    ['a header that is a list', header([1]), 'not as expected'],
    ['a header without the tensor', header({}), 'is not there'],
    ['offsets that are no numbers', entry(['0', '256']), 'not as expected'],
    ['offsets that hold another length', entry([0, 255]), 'do not hold it'],
    ['offsets behind the end', entry([900, 1156]), 'do not hold it'],
    ['offsets the wrong way round', entry([256, 0]), 'do not hold it'],
    ['an index that is not JSON', { ...sharded, 'model.safetensors.index.json': Buffer.from('{') }, 'not JSON'],
    [
      'an index that leads elsewhere',
      { ...sharded, 'model.safetensors.index.json': Buffer.from(`{"weight_map":{"${blockOne[1]}":"../../x"}}`) },
      'is in none of the files',
    ],
  ])('with %s is refused by name', async (_, files, sentence) => {
    const refused = fetchFrom(files, [String(blockOne[1])])
    await expect(refused).rejects.toThrow(sentence)
    await expect(refused).rejects.toThrow(DownloadError)
  })
})
