/** A real model, written as GGUF by the test's own writer: the same tokens, the same text, the same digest. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openModelSource } from '#adapters/models/open-source.ts'
import { createModelStore } from '#adapters/models/store.ts'
import { parseLlama2cVocabulary } from '#adapters/models/tokenizer-llama2c-format.ts'
import { type BlockTensorRole, type Dtype, tensorNames } from '#contracts/model/manifest.ts'
import { type BlockWeights, blockShapes } from '#core/numerics/block.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import { createCaches, type ModelWeights, modelForward } from '#core/numerics/model.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import {
  f32,
  fromFloats,
  type GgufPiece,
  ggufName,
  scoredMetadata,
  shapeMetadata,
  writeGguf,
} from '#test/helpers/gguf-writer.ts'
import { hasShared, sharedPath } from '#test/helpers/shared.ts'
import { useTemporaryFolders } from './tiny-models.ts'

const newFolder = useTemporaryFolders()
const checkpoint = sharedPath('models/stories260K/stories260K.bin')

async function storiesPieces(): Promise<GgufPiece[]> {
  const bytes = await readFile(sharedPath('models/stories260K/tok512.bin'))
  const { pieces, score } = parseLlama2cVocabulary(bytes, 512)
  const control = ['<unk>', '<s>', '</s>']
  const typeOf = (id: number) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1)
  return pieces.map((piece, id) => {
    return { text: control[id] ?? piece.replaceAll(' ', '▁'), score: score(id), type: typeOf(id) }
  })
}

/** stories260K as GGUF, its matrices stored as `dtype` where their rows are whole blocks. */
async function writeStories(path: string, dtype: Dtype): Promise<void> {
  const source = await openModelSource(checkpoint)
  const tensors = []
  for (const { name, shape } of source.tensors) {
    const chunks: Buffer[] = []
    for await (const chunk of source.read(name)) chunks.push(Buffer.from(chunk))
    const floats = decodeFloats('F32', new Uint8Array(Buffer.concat(chunks)))
    const isWhole = shape.length > 1 && (shape.at(-1) ?? 0) % 32 === 0
    tensors.push({ name: ggufName(name), dtype: isWhole ? dtype : 'F32', shape, fill: fromFloats(floats) } as const)
  }
  const metadata = { ...shapeMetadata(source.config), ...scoredMetadata(await storiesPieces()) }
  // What run.c has built in, as the converter writes it.
  await writeGguf(path, { metadata: { ...metadata, 'llama.rope.freq_base': f32(10_000) }, tensors })
  await source.close()
}

async function readWeights(model: ModelHandle): Promise<ModelWeights> {
  const { config } = model.manifest
  const floats = async (name: string) => {
    const { dtype, bytes } = await model.readTensor(name)
    return decodeFloats(dtype, bytes)
  }
  const block = async (index: number) => {
    const names = tensorNames.block(index)
    const roles = Object.keys(blockShapes(config)) as BlockTensorRole[]
    const entries = await Promise.all(roles.map(async (role) => [role, await floats(names[role])] as const))
    return Object.fromEntries(entries) as unknown as BlockWeights
  }
  const embedding = await floats(tensorNames.embedding)
  const blocks = await Promise.all(Array.from({ length: config.blockCount }, (_, index) => block(index)))
  return { embedding, head: embedding, finalNorm: await floats(tensorNames.finalNorm), blocks }
}

/** The likeliest next token, `count` times over, from the begin token. */
async function greedy(model: ModelHandle, count: number): Promise<number[]> {
  const { config } = model.manifest
  const weights = await readWeights(model)
  const caches = createCaches(config)
  const tokens = [1]
  while (tokens.length <= count) {
    const { logits } = modelForward(tokens.slice(-1), weights, config, caches)
    tokens.push(logits.indexOf(Math.max(...logits)))
  }
  return tokens.slice(1)
}

describe.skipIf(!hasShared('models/stories260K'))('stories260K as GGUF (needs ../shared)', () => {
  it('is the same model as the llama2.c checkpoint, and tells the same story', async () => {
    const folder = await newFolder()
    const path = join(folder, 'stories.gguf')
    await writeStories(path, 'F32')
    const store = createModelStore({ directory: join(folder, 'models') })
    const fromGguf = await store.import(path)
    const gguf = await store.open(fromGguf.digest)
    const [tokenizer, tokens] = [await gguf.tokenizer(), await greedy(gguf, 64)]
    await gguf.close()
    const fromLlama2c = await store.import(checkpoint)
    const llama2c = await store.open(fromLlama2c.digest)
    expect(fromGguf.digest).toBe(fromLlama2c.digest)
    expect(tokens).toEqual(await greedy(llama2c, 64))
    expect(tokenizer.decode(tokens)).toBe((await llama2c.tokenizer()).decode(tokens))
    expect(tokenizer.decode(tokens)).toMatch(
      /^Once upon a time, there was a little girl named Lily\. She loved to play/,
    )
    await llama2c.close()
  })

  it('has the same tokens for any text', async () => {
    const folder = await newFolder()
    const path = join(folder, 'stories.gguf')
    await writeStories(path, 'F32')
    const store = createModelStore({ directory: join(folder, 'models') })
    const gguf = await store.open((await store.import(path, { name: 'gguf' })).name)
    const ours = await gguf.tokenizer()
    const llama2c = await store.open((await store.import(checkpoint, { name: 'llama2c' })).name)
    const theirs = await llama2c.tokenizer()
    const samples = [
      'Once upon a time',
      ' two  spaces ',
      'tabs\tand\nlines\n\n',
      'Ünïcödé 😀 日本',
      'a',
      '',
      'Lily’s big, red ball!',
    ]
    for (const sample of samples) expect(ours.encode(sample)).toEqual(theirs.encode(sample))
    await Promise.all([gguf.close(), llama2c.close()])
  })

  it.each(['F16', 'BF16', 'Q8_0'] as const)('begins the same story from %s', async (dtype) => {
    const folder = await newFolder()
    const path = join(folder, `stories-${dtype}.gguf`)
    await writeStories(path, dtype)
    const store = createModelStore({ directory: join(folder, 'models') })
    const model = await store.open((await store.import(path)).digest)
    const text = (await model.tokenizer()).decode(await greedy(model, 20))
    expect(text).toMatch(/^Once upon a time, there was a little girl named Lily\./)
    await model.close()
  })
})
