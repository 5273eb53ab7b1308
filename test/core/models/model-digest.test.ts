import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { digestSchema } from '#contracts/digest.ts'
import type { ModelConfig, TensorEntry } from '#contracts/model/manifest.ts'
import { modelDigest } from '#core/models/model-digest.ts'

const config: ModelConfig = {
  architecture: 'llama',
  hiddenSize: 64,
  intermediateSize: 172,
  blockCount: 5,
  headCount: 8,
  kvHeadCount: 4,
  headSize: 8,
  vocabularySize: 512,
  contextLength: 512,
  rmsNormEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeStyle: 'interleaved',
  tiedHead: true,
}
const digestOf = (text: string) => digestSchema.parse(createHash('sha256').update(text).digest('hex'))
const tensors: TensorEntry[] = [
  { name: 'b', dtype: 'F16', shape: [2, 3], sha256: digestOf('b') },
  { name: 'a', dtype: 'F32', shape: [300], sha256: digestOf('a') },
]

/** CBOR (RFC 8949) of the few kinds of value that occur, written out by hand. */
function cbor(value: unknown): Buffer {
  const head = (major: number, size: number) => {
    if (size < 24) return Buffer.of((major << 5) | size)
    if (size < 256) return Buffer.of((major << 5) | 24, size)
    return Buffer.of((major << 5) | 25, size >> 8, size & 255)
  }
  if (value === true) return Buffer.of(0xf5)
  if (typeof value === 'string') return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)])
  if (typeof value === 'number' && Number.isInteger(value)) return head(0, value)
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(9, 0xfb)
    bytes.writeDoubleBE(value, 1)
    return bytes
  }
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)])
  const keys = Object.keys(value as object).sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
  const pairs = keys.flatMap((key) => [cbor(key), cbor((value as Record<string, unknown>)[key])])
  return Buffer.concat([head(5, keys.length), ...pairs])
}

describe('the digest of a model', () => {
  it('is the SHA-256 of the domain string and the canonical CBOR of config and sorted tensors', () => {
    const sorted = [tensors[1], tensors[0]]
    const bytes = Buffer.concat([Buffer.from('quiltbee/model/1\n'), cbor([config, sorted])])
    expect(modelDigest(config, tensors)).toBe(createHash('sha256').update(bytes).digest('hex'))
  })

  it('never changes from one version of the product to the next', () => {
    expect(modelDigest(config, tensors)).toMatchInlineSnapshot(
      `"7aac3ce47f10d803dcc5c82b067fe4f1fc6a170e0920e2f010f2ed04f3ee975b"`,
    )
  })

  it('covers what a relative of Llama adds', () => {
    const relatives: Partial<ModelConfig>[] = [
      { architecture: 'mistral', slidingWindow: 128 },
      { architecture: 'qwen2', attentionBias: true },
      { architecture: 'qwen3', queryKeyNorm: true },
      { ropeScaling: { kind: 'linear', factor: 2.5 } },
      {
        ropeScaling: {
          kind: 'llama3',
          factor: 8,
          lowFrequencyFactor: 1,
          highFrequencyFactor: 4,
          originalContextLength: 256,
        },
      },
    ]
    for (const added of relatives) {
      const bytes = Buffer.concat([
        Buffer.from('quiltbee/model/1\n'),
        cbor([{ ...config, ...added }, [tensors[1], tensors[0]]]),
      ])
      const digest = modelDigest({ ...config, ...added }, tensors)
      expect(digest).toBe(createHash('sha256').update(bytes).digest('hex'))
    }
    const digests = relatives.map((added) => modelDigest({ ...config, ...added }, tensors))
    expect(digests).toMatchInlineSnapshot(`
      [
        "2b13f63b8dd0c5d118944f3ffda03d9a20f2f3cf0ebc82c7bce48e6a776de918",
        "567d185a050d1343eba30cc80c74ec315382738876c2ddd87aab59c55cd0017e",
        "21286d58abd5943e0957f6a78daf436bb1dab91427ac27507c3b56601436d9fc",
        "9cd59a37188ff2bc96f05e06a2c4f88283015d50c05c4cba284957f64d717454",
        "7ec14689ba26fd62d0fa3e5733c890e5246f66cc15e9aaf7a2e012af7f069869",
      ]
    `)
  })

  it('does not depend on the order of tensors or of the fields of the config', () => {
    const reordered = Object.fromEntries(Object.entries(config).reverse()) as ModelConfig
    expect(modelDigest(reordered, [...tensors].reverse())).toBe(modelDigest(config, tensors))
  })

  it.each([
    ['a tensor of other bytes', config, [{ ...tensors[0], sha256: digestOf('c') }, tensors[1]]],
    ['a tensor of another name', config, [{ ...tensors[0], name: 'c' }, tensors[1]]],
    ['a tensor of another type', config, [{ ...tensors[0], dtype: 'BF16' }, tensors[1]]],
    ['a tensor of another shape', config, [{ ...tensors[0], shape: [3, 2] }, tensors[1]]],
    ['a tensor less', config, [tensors[1]]],
    ['another rotary base', { ...config, ropeTheta: 500_000 }, tensors],
    ['another rotary style', { ...config, ropeStyle: 'half' }, tensors],
    ['another scaling of positions', { ...config, ropeScaling: { kind: 'linear', factor: 2 } }, tensors],
    ['a sliding window', { ...config, slidingWindow: 512 }, tensors],
    ['biases', { ...config, attentionBias: true }, tensors],
    ['normed heads', { ...config, queryKeyNorm: true }, tensors],
    ['another architecture', { ...config, architecture: 'mistral' }, tensors],
    ['another epsilon', { ...config, rmsNormEpsilon: 1e-6 }, tensors],
  ])('is another for %s', (_what, otherConfig, otherTensors) => {
    const other = modelDigest(otherConfig as ModelConfig, otherTensors as TensorEntry[])
    expect(other).not.toBe(modelDigest(config, tensors))
  })
})
