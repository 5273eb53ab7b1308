import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openHuggingFace } from '#adapters/models/huggingface.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import {
  safetensorsBytes,
  type TinyFolder,
  tinyConfig,
  tinyHuggingFaceConfig,
  tinySafetensors,
  useTemporaryFolders,
  writeHuggingFaceFolder,
} from './tiny-models.ts'

const newFolder = useTemporaryFolders()
async function openTiny(parts: TinyFolder = {}) {
  const source = await openHuggingFace(await writeHuggingFaceFolder(await newFolder(), 'tiny', parts))
  await source.close()
  return source
}

describe('a Hugging Face folder', () => {
  it('gives the tensors of the config, in file order, and a name from its own', async () => {
    const source = await openTiny()
    expect(source.tensors.map(({ name }) => name)).toEqual(expectedTensors(tinyConfig).map(({ name }) => name))
    expect([source.suggestedName, source.licence, source.tokenizer.kind]).toEqual(['tiny', null, 'huggingface'])
  })

  it('may repeat what is known: rotary frequencies, and a tied head', async () => {
    const { header, data } = tinySafetensors(tinyConfig, [
      { name: 'model.layers.0.self_attn.rotary_emb.inv_freq', shape: [2] },
      { name: 'lm_head.weight', shape: [264, 8] },
    ])
    const source = await openTiny({ weights: safetensorsBytes(header, data) })
    expect(source.tensors).toHaveLength(expectedTensors(tinyConfig).length)
  })

  it('with a bias is unsupported, by the tensor’s name', async () => {
    const { header, data } = tinySafetensors(tinyConfig, [{ name: 'model.layers.0.self_attn.q_proj.bias', shape: [8] }])
    const opening = openTiny({ weights: safetensorsBytes(header, data) })
    await expect(opening).rejects.toThrow(/tensor model\.layers\.0\.self_attn\.q_proj\.bias/)
  })

  it('without a tensor of the config is refused, by the tensor’s name', async () => {
    const { header, data } = tinySafetensors({ ...tinyConfig, blockCount: 1 })
    const opening = openTiny({ weights: safetensorsBytes(header, data) })
    await expect(opening).rejects.toThrow(/tensor model\.layers\.1\.input_layernorm\.weight is missing/)
  })

  it('with an untied head must have one', async () => {
    const opening = openTiny({ config: tinyHuggingFaceConfig({ tie_word_embeddings: false }) })
    await expect(opening).rejects.toThrow(/lm_head\.weight is missing/)
  })

  it('with a tensor of another shape is refused, with both shapes', async () => {
    const { header, data } = tinySafetensors({ ...tinyConfig, intermediateSize: 16 })
    const opening = openTiny({ weights: safetensorsBytes(header, data) })
    await expect(opening).rejects.toThrow(/gate_proj\.weight: shape \[16,8\], the config asks for \[12,8\]/)
  })

  it.each([
    ['split weights', 'model.safetensors.index.json', ModelUnsupportedError, /several safetensors/],
    ['pickled weights', 'pytorch_model.bin', ModelUnsupportedError, /pickled/],
    ['no weights', 'unrelated.txt', ModelFormatError, /model\.safetensors: the file is missing/],
  ])('with %s is refused and says so', async (_what, file, kind, message) => {
    const folder = await writeHuggingFaceFolder(await newFolder(), 'tiny', { weights: null })
    await writeFile(join(folder, file), '{}')
    await expect(openHuggingFace(folder)).rejects.toThrow(kind)
    await expect(openHuggingFace(folder)).rejects.toThrow(message)
  })

  it('whose weights are a folder is refused', async () => {
    const folder = await writeHuggingFaceFolder(await newFolder(), 'tiny', { weights: null })
    await mkdir(join(folder, 'model.safetensors'))
    await expect(openHuggingFace(folder)).rejects.toThrow(/not a regular file/)
  })

  it.each([
    ['the front matter of its model card', '---\nlanguage: en\nlicense: apache-2.0\n---\n# Tiny', 'apache-2.0'],
    ['nowhere without front matter', '# Tiny\nlicense: mit', null],
    ['nowhere when it is not a plain word', '---\nlicense: [mit]\n---', null],
  ])('takes its licence from %s', async (_where, readme, licence) => {
    expect((await openTiny({ readme })).licence).toBe(licence)
  })

  it('refuses a config that is too large, before reading it', async () => {
    await expect(openTiny({ config: ' '.repeat((1 << 20) + 1) })).rejects.toThrow(/at most 1048576 are read/)
  })
})
