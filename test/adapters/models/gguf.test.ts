import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { shortestDecimal } from '#adapters/models/gguf-fields.ts'
import type { ModelSource } from '#adapters/models/model-source.ts'
import { openModelSource } from '#adapters/models/open-source.ts'
import { createModelStore } from '#adapters/models/store.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import { f32, f32s, flag, fromFloats, ggufBytes, i32s, text, texts, u32 } from '#test/helpers/gguf-writer.ts'
import { ggufConfig, placeGguf, type TinyGguf, tinyGguf } from './tiny-gguf.ts'
import { tinyValues, useTemporaryFolders, writeLlama2cFolder } from './tiny-models.ts'

const newFolder = useTemporaryFolders()

async function opened(changes: TinyGguf = {}): Promise<ModelSource> {
  return openModelSource(await placeGguf(await newFolder(), ggufBytes(tinyGguf(changes))))
}

async function configOf(changes: TinyGguf): Promise<ModelConfig> {
  const source = await opened(changes)
  await source.close()
  return source.config
}

async function floatsOf(source: ModelSource, name: string): Promise<Float32Array> {
  const chunks: Buffer[] = []
  for await (const chunk of source.read(name)) chunks.push(Buffer.from(chunk))
  const dtype = source.tensors.find((tensor) => tensor.name === name)?.dtype ?? 'F32'
  return decodeFloats(dtype, new Uint8Array(Buffer.concat(chunks)))
}

describe('a GGUF file', () => {
  it('is described in our words', async () => {
    const source = await opened({ metadata: { 'general.license': text(' mit ') } })
    expect(source.config).toEqual(ggufConfig)
    expect(source.tokenizer).toMatchObject({ kind: 'gguf', beginToken: 1, endTokens: [2] })
    expect([source.suggestedName, source.licence]).toEqual(['tiny', 'mit'])
    await source.close()
  })

  it.each([2, 3])('of version %i is read, at any alignment', async (version) => {
    for (const alignment of [32, 8, 4096]) {
      const source = await opened({ version, alignment, metadata: { 'general.alignment': u32(alignment) } })
      expect(await floatsOf(source, 'model.embed_tokens.weight')).toEqual(tinyValues(264 * 8, 0))
      await source.close()
    }
  })

  it('has its tensors under canonical names, rows first', async () => {
    const source = await opened({ config: { ...ggufConfig, tiedHead: false } })
    expect(source.tensors).toContainEqual({ name: 'model.layers.1.mlp.gate_proj.weight', dtype: 'F32', shape: [12, 8] })
    expect(source.tensors.at(-1)).toEqual({ name: 'lm_head.weight', dtype: 'F32', shape: [264, 8] })
    expect(await floatsOf(source, 'model.layers.0.input_layernorm.weight')).toEqual(tinyValues(8, 1))
    expect(await floatsOf(source, 'lm_head.weight')).toEqual(tinyValues(264 * 8, 20))
    await source.close()
  })

  it('keeps quantised weights as they are', async () => {
    const config: ModelConfig = { ...ggufConfig, hiddenSize: 64, intermediateSize: 96, headSize: 32 }
    const source = await opened({ config, dtype: 'Q4_0' })
    const gate = source.tensors.find(({ name }) => name === 'model.layers.0.mlp.gate_proj.weight')
    expect(gate).toEqual({ name: 'model.layers.0.mlp.gate_proj.weight', dtype: 'Q4_0', shape: [96, 64] })
    const values = await floatsOf(source, 'model.layers.0.mlp.gate_proj.weight')
    for (const [i, value] of tinyValues(96 * 64, 7).entries())
      expect(Math.abs((values[i] ?? 9) - value)).toBeLessThan(0.02)
    await source.close()
  })

  it('of a Qwen has what Qwens add, and rotates halves', async () => {
    const qwen2: ModelConfig = { ...ggufConfig, architecture: 'qwen2', ropeStyle: 'half', attentionBias: true }
    const qwen3: ModelConfig = { ...ggufConfig, architecture: 'qwen3', ropeStyle: 'half', queryKeyNorm: true }
    expect(await configOf({ config: qwen2 })).toEqual(qwen2)
    expect(await configOf({ config: qwen3 })).toEqual(qwen3)
    const mistral: ModelConfig = { ...ggufConfig, architecture: 'mistral', slidingWindow: 7 }
    const metadata = { 'mistral.attention.sliding_window': u32(7) }
    expect(await configOf({ config: mistral, metadata })).toEqual(mistral)
  })

  it('may leave out what has a default, or list a number for each block', async () => {
    const left = { 'llama.vocab_size': undefined, 'llama.rope.freq_base': undefined, 'general.type': undefined }
    const sizes = { 'llama.attention.key_length': undefined, 'llama.attention.value_length': undefined }
    const lists = { 'llama.attention.head_count_kv': i32s([1, 1]), 'llama.feed_forward_length': i32s([12, 12]) }
    expect(await configOf({ metadata: { ...left, ...sizes, ...lists } })).toEqual(ggufConfig)
  })

  it('passes over metadata it has no use for, however long', async () => {
    const metadata = {
      'general.tags': texts(['a', 'b']),
      'tokenizer.chat_template': text('x'.repeat(200_000)),
      'other.numbers': f32s(new Float32Array(5000)),
      'other.texts': texts(Array.from({ length: 5000 }, (_, i) => `text ${i}`)),
    }
    expect(await configOf({ metadata })).toEqual(ggufConfig)
  })
})

describe('scaled rotary positions in GGUF', () => {
  const shape: ModelConfig = { ...ggufConfig, headSize: 64, headCount: 2, ropeTheta: 500_000 }

  /** As llama.cpp's converter computes them, in float32. */
  function divisors(factor: number, length: number): Float32Array {
    return Float32Array.from({ length: shape.headSize / 2 }, (_, i) => {
      const frequency = Math.fround(1 / Math.fround(shape.ropeTheta ** Math.fround((2 * i) / shape.headSize)))
      const wavelength = Math.fround((2 * Math.PI) / frequency)
      if (wavelength < length / 4) return 1
      if (wavelength > length) return factor
      const kept = Math.fround((length / wavelength - 1) / 3)
      return Math.fround(1 / Math.fround(Math.fround((1 - kept) / factor) + kept))
    })
  }

  function withDivisors(values: Float32Array, metadata: TinyGguf['metadata'] = {}): TinyGguf {
    const rope = { name: 'rope_freqs.weight', dtype: 'F32', shape: [values.length], fill: fromFloats(values) } as const
    return { config: shape, extraTensors: [rope], metadata }
  }

  it.each([
    [8, 8192],
    [32, 8192],
    [4, 32_768],
  ])('are Llama 3’s when the divisors are: factor %i, %i positions', async (factor, length) => {
    const expected = {
      kind: 'llama3',
      factor,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContextLength: length,
    }
    const config = await configOf(withDivisors(divisors(factor, length)))
    expect(config).toEqual({ ...shape, ropeScaling: expected })
  })

  it('of another original length are found when the file says it', async () => {
    const metadata = { 'llama.rope.scaling.original_context_length': u32(6000) }
    const config = await configOf(withDivisors(divisors(8, 6000), metadata))
    expect(config.ropeScaling).toMatchObject({ kind: 'llama3', originalContextLength: 6000 })
  })

  it('are none, or plain, when all divisors are the same', async () => {
    expect(await configOf(withDivisors(new Float32Array(32).fill(1)))).toEqual(shape)
    const scaled = await configOf(withDivisors(new Float32Array(32).fill(4)))
    expect(scaled.ropeScaling).toEqual({ kind: 'linear', factor: 4 })
  })

  it('that follow no formula are refused, not approximated', async () => {
    const values = divisors(8, 8192)
    const middle = values.findIndex((value) => value > 1.5 && value < 7)
    values[middle] = (values[middle] ?? 0) * 1.001
    await expect(opened(withDivisors(values))).rejects.toThrow(ModelUnsupportedError)
    await expect(opened(withDivisors(new Float32Array(32).fill(Number.NaN)))).rejects.toThrow(ModelFormatError)
    await expect(opened(withDivisors(new Float32Array(16).fill(1)))).rejects.toThrow(/16 divisors, a head has 32 pairs/)
  })

  it('of the plain kind are read from the metadata', async () => {
    const linear = { 'llama.rope.scaling.type': text('linear'), 'llama.rope.scaling.factor': f32(2.5) }
    expect((await configOf({ metadata: linear })).ropeScaling).toEqual({ kind: 'linear', factor: 2.5 })
    expect(await configOf({ metadata: { ...linear, 'llama.rope.scaling.type': text('none') } })).toEqual(ggufConfig)
    await expect(opened(withDivisors(divisors(8, 8192), linear))).rejects.toThrow(/rope scaling in the metadata/)
  })
})

describe('a GGUF file that we cannot run', () => {
  const unsupported: [string, TinyGguf][] = [
    ['architecture gemma3', { metadata: { 'general.architecture': text('gemma3') } }],
    ['GGUF of type adapter', { metadata: { 'general.type': text('adapter') } }],
    ['GGUF split into 3 files', { metadata: { 'split.count': u32(3) } }],
    ['llama.expert_count 8', { metadata: { 'llama.expert_count': u32(8) } }],
    ['rotary positions for 2 of a head’s 4', { metadata: { 'llama.rope.dimension_count': u32(2) } }],
    ['value heads of 8 beside key heads of 4', { metadata: { 'llama.attention.value_length': u32(8) } }],
    ['rope scaling yarn', { metadata: { 'llama.rope.scaling.type': text('yarn') } }],
    ['llama.logit_scale', { metadata: { 'llama.logit_scale': f32(0.5) } }],
    ['llama.attention.causal', { metadata: { 'llama.attention.causal': flag(false) } }],
    ['tokenizer bert', { metadata: { 'tokenizer.ggml.model': text('bert') } }],
    ['GGUF version 1', { version: 1 }],
    ['GGUF version 4', { version: 4 }],
    ['big-endian GGUF', { version: 0x03000000 }],
    [
      'tensor blk.0.attn_output.bias',
      { extraTensors: [{ name: 'blk.0.attn_output.bias', dtype: 'F32', shape: [8], fill: () => {} }] },
    ],
  ]
  it.each(unsupported)('is refused by name: %s', async (what, changes) => {
    await expect(opened(changes)).rejects.toThrow(ModelUnsupportedError)
    await expect(opened(changes)).rejects.toThrow(what)
  })

  const wrong: [string, TinyGguf][] = [
    ['general.architecture: is missing', { metadata: { 'general.architecture': undefined } }],
    ['llama.block_count: is missing', { metadata: { 'llama.block_count': undefined } }],
    ['expected a whole number, found float32 2', { metadata: { 'llama.block_count': f32(2) } }],
    ['expected a text, found uint32 1', { metadata: { 'general.architecture': u32(1) } }],
    ['expected a number, found float32 NaN', { metadata: { 'llama.rope.freq_base': f32(Number.NaN) } }],
    ['expected a whole number, found a list of 2 int32', { metadata: { 'llama.attention.head_count': i32s([2, 1]) } }],
    ['expected a list of texts', { metadata: { 'tokenizer.ggml.tokens': i32s([1]) } }],
    ['blockCount', { metadata: { 'llama.block_count': u32(1_000_000) } }],
    ['tensor blk.2.attn_norm.weight is missing', { metadata: { 'llama.block_count': u32(3) } }],
    ['kvHeadCount', { metadata: { 'llama.attention.head_count_kv': u32(0) } }],
    ['headSize', { metadata: { 'llama.attention.key_length': u32(3), 'llama.rope.dimension_count': u32(3) } }],
    ['shape [12,8], the metadata ask for [16,8]', { metadata: { 'llama.feed_forward_length': u32(16) } }],
    ['token_embd.weight has 264 rows', { metadata: { 'llama.vocab_size': u32(300) } }],
    ['rmsNormEpsilon', { metadata: { 'llama.attention.layer_norm_rms_epsilon': f32(0) } }],
    ['tensor token_embd.weight is missing', { tensors: [] }],
  ]
  it.each(wrong)('is refused as malformed: %s', async (what, changes) => {
    await expect(opened(changes)).rejects.toThrow(ModelFormatError)
    await expect(opened(changes)).rejects.toThrow(what)
  })

  it('closes the file it had opened', async () => {
    const folder = await newFolder()
    const path = await placeGguf(folder, ggufBytes(tinyGguf({ metadata: { 'general.architecture': text('x') } })))
    await expect(openModelSource(path)).rejects.toThrow('architecture x')
    await rm(path)
  })
})

describe('importing GGUF', () => {
  it('stores the same model, whatever the file is called', async () => {
    const folder = await newFolder()
    const path = join(folder, 'model-file')
    await writeFile(path, ggufBytes(tinyGguf()))
    const store = createModelStore({ directory: join(folder, 'models') })
    const manifest = await store.import(path)
    const model = await store.open(manifest.digest)
    const gate = await model.readTensor('model.layers.1.mlp.gate_proj.weight')
    expect(decodeFloats(gate.dtype, gate.bytes)).toEqual(tinyValues(96, 16))
    const tokenizer = await model.tokenizer()
    expect(tokenizer.decode([1, ...tokenizer.encode('ab aé')])).toBe('ab aé')
    expect(manifest.tokenizer).toMatchObject({ kind: 'gguf', beginToken: 1, endTokens: [2] })
    await model.close()
  })

  it('stores quantised tensors with their type', async () => {
    const config: ModelConfig = { ...ggufConfig, hiddenSize: 256, intermediateSize: 256, headSize: 128 }
    const folder = await newFolder()
    const store = createModelStore({ directory: join(folder, 'models') })
    const progress: number[] = []
    const path = await placeGguf(folder, ggufBytes(tinyGguf({ config, dtype: 'Q4_K' })))
    const manifest = await store.import(path, {
      onProgress: ({ bytesDone, bytesTotal }) => progress.push(bytesDone / bytesTotal),
    })
    const model = await store.open(manifest.name)
    const down = await model.readTensor('model.layers.0.mlp.down_proj.weight')
    expect([down.dtype, down.bytes.length]).toEqual(['Q4_K', 256 * 144])
    expect(progress.at(-1)).toBe(1)
    await model.close()
  })

  it('can be cancelled, and leaves nothing', async () => {
    const folder = await newFolder()
    const store = createModelStore({ directory: join(folder, 'models') })
    const path = await placeGguf(folder)
    await expect(store.import(path, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i)
    expect(await store.list()).toEqual([])
  })

  it('takes the only .gguf of a folder', async () => {
    const folder = await newFolder()
    await placeGguf(folder)
    await (await openModelSource(folder)).close()
    await writeLlama2cFolder(folder)
    await expect(openModelSource(folder)).rejects.toThrow(/a \.gguf file and a \.bin checkpoint/)
    await writeFile(join(folder, 'other.gguf'), ggufBytes(tinyGguf()))
    await expect(openModelSource(folder)).rejects.toThrow(InvalidInputError)
    await expect(openModelSource(folder)).rejects.toThrow(/several \.gguf files \(other\.gguf, tiny\.gguf\)/)
  })

  it('says so when a file is called .gguf and is not', async () => {
    const path = await placeGguf(await newFolder(), new Uint8Array(100))
    await expect(openModelSource(path)).rejects.toThrow('tiny.gguf: magic at byte 0: not a GGUF file')
  })
})

describe('a float32 of the metadata', () => {
  it.each([1e-5, 1e-6, 10_000, 1_000_000, 0.1, 1.5, 8, 0, -2.25])('that was written as %d is that again', (value) => {
    expect(shortestDecimal(Math.fround(value))).toBe(value)
  })
})
