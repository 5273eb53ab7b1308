import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findLlama2cCheckpoint, openLlama2c } from '#adapters/models/llama2c.ts'
import type { ModelSource } from '#adapters/models/model-source.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { ModelFormatError, ModelUnsupportedError, TokenizerFormatError } from '#core/errors.ts'
import { hasShared, sharedPath } from '#test/helpers/shared.ts'
import {
  llama2cCheckpoint,
  llama2cVocabulary,
  tinyTexts,
  useTemporaryFolders,
  writeLlama2cFolder,
} from './tiny-models.ts'

const newFolder = useTemporaryFolders()

/** First value, last value and number of values of a tensor. */
async function summary(source: ModelSource, name: string): Promise<number[]> {
  const chunks: Buffer[] = []
  for await (const chunk of source.read(name)) chunks.push(Buffer.from(chunk))
  const bytes = Buffer.concat(chunks)
  return [bytes.readFloatLE(0), bytes.readFloatLE(bytes.length - 4), bytes.length / 4]
}

describe('a llama2.c checkpoint', () => {
  it('is described in our words', async () => {
    const source = await openLlama2c(await writeLlama2cFolder(await newFolder()))
    expect(source.config).toMatchObject({ hiddenSize: 8, headSize: 4, vocabularySize: 264, contextLength: 16 })
    expect(source.config).toMatchObject({
      ropeStyle: 'interleaved',
      ropeTheta: 10_000,
      rmsNormEpsilon: 1e-5,
      tiedHead: true,
    })
    expect(source.tokenizer).toMatchObject({ kind: 'llama2c', beginToken: 1, endTokens: [1, 2] })
    expect(source.suggestedName).toBe('tiny')
    await source.close()
  })

  it('has its tensors where run.c maps them', async () => {
    const source = await openLlama2c(await writeLlama2cFolder(await newFolder()))
    const [embedding, norms, query, keys, matrix] = [264 * 8, 2 * 8, 2 * 64, 2 * 32, 2 * 96]
    const feedForward = embedding + norms + query + keys + keys + query + norms
    const first = async (name: string) => (await summary(source, name))[0]
    expect(await summary(source, 'model.embed_tokens.weight')).toEqual([0, embedding - 1, embedding])
    expect(await first('model.layers.1.input_layernorm.weight')).toBe(embedding + 8)
    expect(await first('model.layers.0.self_attn.q_proj.weight')).toBe(embedding + norms)
    expect(await first('model.layers.1.self_attn.k_proj.weight')).toBe(embedding + norms + query + 32)
    expect(await first('model.layers.0.self_attn.o_proj.weight')).toBe(embedding + norms + query + 2 * keys)
    expect(await first('model.layers.0.mlp.gate_proj.weight')).toBe(feedForward)
    expect(await first('model.layers.1.mlp.down_proj.weight')).toBe(feedForward + matrix + 96)
    expect(await first('model.layers.0.mlp.up_proj.weight')).toBe(feedForward + 2 * matrix)
    expect(await summary(source, 'model.norm.weight')).toEqual([
      feedForward + 3 * matrix,
      feedForward + 3 * matrix + 7,
      8,
    ])
    await source.close()
  })

  it('with a classifier of its own has it at the very end', async () => {
    const bytes = llama2cCheckpoint({ untied: true })
    const source = await openLlama2c(await writeLlama2cFolder(await newFolder(), bytes))
    const floats = (bytes.length - 28) / 4
    expect(source.config.tiedHead).toBe(false)
    expect(await summary(source, 'lm_head.weight')).toEqual([floats - 264 * 8, floats - 1, 264 * 8])
    await source.close()
  })

  it('cut short anywhere is refused, with both sizes', async () => {
    const whole = llama2cCheckpoint()
    for (const length of [0, 3, 27, 28, 1000, whole.length - 4, whole.length - 1]) {
      const opening = openLlama2c(await writeLlama2cFolder(await newFolder(), whole.subarray(0, length)))
      await expect(opening).rejects.toBeInstanceOf(ModelFormatError)
    }
  })

  it('with bytes too many is refused', async () => {
    const bytes = new Uint8Array([...llama2cCheckpoint(), 0])
    await expect(openLlama2c(await writeLlama2cFolder(await newFolder(), bytes))).rejects.toThrow(
      /the header describes/,
    )
  })

  it.each([
    ['negative sizes', [-8, 12, 2, 2, 1, 264, 16], ModelFormatError, /hiddenSize/],
    ['no heads', [8, 12, 2, 0, 1, 264, 16], ModelFormatError, /header/],
    ['heads that do not divide the size', [8, 12, 2, 3, 3, 264, 16], ModelFormatError, /headSize/],
    ['enormous sizes', [2 ** 31 - 1, 2 ** 31 - 1, 1, 1, 1, 1, 1], ModelFormatError, /header/],
    ['the largest sizes allowed', [2 ** 20, 2 ** 20, 1024, 256, 256, 2 ** 22, 2 ** 24], ModelFormatError, /describes/],
    ['the magic of version 1', [0x616b3432, 1, 0, 0, 0, 0, 0], ModelUnsupportedError, /version 1/],
    ['the magic of a zip', [0x04034b50, 0, 0, 0, 0, 0, 0], ModelUnsupportedError, /zipped PyTorch/],
    ['the magic of a pickle', [0x0a8a0280, 0, 0, 0, 0, 0, 0], ModelUnsupportedError, /pickled PyTorch/],
  ])('with %s is refused', async (_what, fields, kind, message) => {
    const bytes = new Uint8Array(Int32Array.from(fields).buffer)
    const path = await writeLlama2cFolder(await newFolder(), bytes)
    await expect(openLlama2c(path)).rejects.toThrow(kind)
    await expect(openLlama2c(path)).rejects.toThrow(message)
  })

  it('takes the vocabulary that has its number of pieces', async () => {
    const path = await writeLlama2cFolder(await newFolder())
    await writeFile(join(dirname(path), 'tok263.bin'), llama2cVocabulary(tinyTexts.slice(1)))
    await writeFile(join(dirname(path), 'tokens.bin'), 'not a vocabulary')
    await (await openLlama2c(path)).close()
  })

  it('between two fitting vocabularies does not choose', async () => {
    const path = await writeLlama2cFolder(await newFolder())
    await writeFile(join(dirname(path), 'tok-other.bin'), llama2cVocabulary(tinyTexts))
    await expect(openLlama2c(path)).rejects.toThrow(TokenizerFormatError)
  })

  it('without a vocabulary is refused', async () => {
    const path = join(await newFolder(), 'tiny.bin')
    await writeFile(path, llama2cCheckpoint())
    await expect(openLlama2c(path)).rejects.toThrow(/no vocabulary of 264 pieces/)
  })

  it('is found in a folder when it is the only one', async () => {
    const folder = await newFolder()
    expect(await findLlama2cCheckpoint(folder)).toBeNull()
    const path = await writeLlama2cFolder(folder)
    expect(await findLlama2cCheckpoint(folder)).toBe(path)
    await writeFile(join(folder, 'second.bin'), '')
    await expect(findLlama2cCheckpoint(folder)).rejects.toThrow(InvalidInputError)
  })
})

describe.skipIf(!hasShared('models/stories260K'))('stories260K (needs ../shared)', () => {
  it('opens with its own vocabulary', async () => {
    const source = await openLlama2c(sharedPath('models/stories260K/stories260K.bin'))
    expect(source.config).toMatchObject({
      hiddenSize: 64,
      blockCount: 5,
      headCount: 8,
      kvHeadCount: 4,
      contextLength: 512,
    })
    await source.close()
  })
})
