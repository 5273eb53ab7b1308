import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { describeModel } from '#adapters/models/describe-model.ts'
import { openHuggingFace } from '#adapters/models/huggingface.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import {
  safetensorsBytes,
  shardedSafetensors,
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
    ['an empty index', 'model.safetensors.index.json', ModelFormatError, /index\.json weight_map/],
    ['pickled weights', 'pytorch_model.bin', ModelUnsupportedError, /pickled/],
    ['no weights', 'unrelated.txt', ModelFormatError, /model\.safetensors: the file is missing/],
  ])('with %s is refused and says so', async (_what, file, kind, message) => {
    const folder = await writeHuggingFaceFolder(await newFolder(), 'tiny', { weights: null })
    await writeFile(join(folder, file), '{}')
    await expect(openHuggingFace(folder)).rejects.toThrow(kind)
    await expect(openHuggingFace(folder)).rejects.toThrow(message)
  })

  it.each<[string, Partial<ModelConfig>, Record<string, unknown>, string]>([
    ['Mistral', { architecture: 'mistral', slidingWindow: 4 }, { sliding_window: 4 }, 'MistralForCausalLM'],
    ['Qwen2', { architecture: 'qwen2', attentionBias: true }, {}, 'Qwen2ForCausalLM'],
    ['Qwen3', { architecture: 'qwen3', queryKeyNorm: true }, { head_dim: 4 }, 'Qwen3ForCausalLM'],
  ])('may hold a %s, with all its tensors', async (_what, added, changes, className) => {
    const config = { ...tinyConfig, ...added }
    const { header, data } = tinySafetensors(config)
    const source = await openTiny({
      config: tinyHuggingFaceConfig({ model_type: config.architecture, architectures: [className], ...changes }),
      weights: safetensorsBytes(header, data),
    })
    expect(source.config).toEqual(config)
    expect(source.tensors.map(({ name }) => name)).toEqual(expectedTensors(config).map(({ name }) => name))
  })

  it('of a Qwen2 must have its biases', async () => {
    const config = tinyHuggingFaceConfig({ model_type: 'qwen2', architectures: ['Qwen2ForCausalLM'] })
    await expect(openTiny({ config })).rejects.toThrow(/q_proj\.bias is missing/)
  })

  it('whose output projection has a bias is unsupported, by the tensor’s name', async () => {
    const config = { ...tinyConfig, architecture: 'qwen2', attentionBias: true } as const
    const { header, data } = tinySafetensors(config, [{ name: 'model.layers.1.self_attn.o_proj.bias', shape: [8] }])
    const opening = openTiny({
      config: tinyHuggingFaceConfig({ model_type: 'qwen2', architectures: ['Qwen2ForCausalLM'] }),
      weights: safetensorsBytes(header, data),
    })
    await expect(opening).rejects.toThrow(ModelUnsupportedError)
    await expect(opening).rejects.toThrow(/o_proj\.bias/)
  })

  it('may store 16-bit floats', async () => {
    const { header, data } = tinySafetensors()
    const halved = Object.entries(header).map(([name, { shape, data_offsets: offsets }]) => {
      return [name, { dtype: 'BF16', shape, data_offsets: offsets.map((offset) => offset / 2) }] as const
    })
    const weights = safetensorsBytes(Object.fromEntries(halved), data.subarray(0, data.length / 2))
    expect((await openTiny({ weights })).tensors.map(({ dtype }) => dtype)).toContain('BF16')
  })

  it('does not store GGUF’s blocks', async () => {
    const { header, data } = tinySafetensors({ ...tinyConfig, hiddenSize: 32 })
    const begin = header['model.norm.weight']?.data_offsets[0] ?? 0
    const blocks = { ...header, 'model.norm.weight': { dtype: 'Q8_0', shape: [32], data_offsets: [begin, begin + 34] } }
    const opening = openTiny({
      config: tinyHuggingFaceConfig({ hidden_size: 32, head_dim: 4 }),
      weights: safetensorsBytes(blocks, data.subarray(0, begin + 34)),
    })
    await expect(opening).rejects.toThrow('tensor model.norm.weight: dtype Q8_0 is not one of F32, F16, BF16')
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

describe('a folder of several safetensors files', () => {
  const { index, files } = shardedSafetensors()
  const [first = '', second = ''] = Object.keys(files)
  const norm = 'model.norm.weight'
  const folderOf = async (weightMap: Record<string, string>, others: Record<string, Uint8Array> = files) =>
    writeHuggingFaceFolder(await newFolder(), 'tiny', {
      weights: null,
      files: { ...others, 'model.safetensors.index.json': { ...index, weight_map: weightMap } },
    })

  it('is the same model as one file, by digest', async () => {
    const sharded = await openHuggingFace(await folderOf(index.weight_map))
    const whole = await openHuggingFace(await writeHuggingFaceFolder(await newFolder(), 'tiny'))
    expect(sharded.tensors).toHaveLength(whole.tensors.length)
    expect((await describeModel(sharded)).digest).toBe((await describeModel(whole)).digest)
  })

  it('is read from the one file when that lies there too', async () => {
    const folder = await folderOf(index.weight_map, {})
    const { header, data } = tinySafetensors()
    await writeFile(join(folder, 'model.safetensors'), safetensorsBytes(header, data))
    await expect(openHuggingFace(folder)).resolves.toBeDefined()
  })

  it('with a file missing is refused, by its name', async () => {
    const opening = openHuggingFace(await folderOf(index.weight_map, { [first]: files[first] ?? new Uint8Array() }))
    await expect(opening).rejects.toThrow(ModelFormatError)
    await expect(opening).rejects.toThrow(`${second}: the file is missing`)
  })

  it('whose file vanishes before it is read fails by its name', async () => {
    const folder = await folderOf(index.weight_map)
    const source = await openHuggingFace(folder)
    await rm(join(folder, second))
    await expect(describeModel(source)).rejects.toThrow(`${second}: the file is missing`)
  })

  it('with a tensor in another file than the index says is refused, with both files', async () => {
    const opening = openHuggingFace(await folderOf({ ...index.weight_map, [norm]: other(index.weight_map[norm]) }))
    await expect(opening).rejects.toThrow(`tensor ${norm}: is in ${index.weight_map[norm]} instead`)
  })

  it('with a promised tensor that no file has is refused, by its name', async () => {
    const opening = openHuggingFace(await folderOf({ ...index.weight_map, extra: first }))
    await expect(opening).rejects.toThrow(`${first}: tensor extra: the index promises it`)
  })

  it('with a tensor in two files is refused, with both files', async () => {
    const doubled = { [first]: files[first] ?? new Uint8Array(), [second]: files[first] ?? new Uint8Array() }
    const opening = openHuggingFace(await folderOf(index.weight_map, doubled))
    await expect(opening).rejects.toThrow(`is in ${first} too`)
  })

  it('with a tensor that the index does not know is held to the same rules as one file', async () => {
    const { header, data } = tinySafetensors(tinyConfig, [{ name: 'model.layers.0.mlp.up_proj.bias', shape: [12] }])
    const extra = shardedSafetensors({ header, data })
    const opening = openHuggingFace(await folderOf(index.weight_map, extra.files))
    await expect(opening).rejects.toThrow(ModelUnsupportedError)
  })

  it('with a damaged file is refused, by its name', async () => {
    const cut = { ...files, [second]: files[second]?.subarray(0, 100) ?? new Uint8Array() }
    await expect(openHuggingFace(await folderOf(index.weight_map, cut))).rejects.toThrow(ModelFormatError)
    await expect(openHuggingFace(await folderOf(index.weight_map, cut))).rejects.toThrow(second)
  })

  function other(shard: string | undefined): string {
    return shard === first ? second : first
  }
})

describe('the tokens that begin and end a text', () => {
  it('end with those of generation_config.json besides, each once', async () => {
    const source = await openTiny({ files: { 'generation_config.json': { eos_token_id: [2, 7], temperature: 0.6 } } })
    expect(source.tokenizer.endTokens).toEqual([2, 7])
  })

  it.each([
    ['says nothing of a begin token', { model_max_length: 16 }, 1],
    ['wants a begin token', { add_bos_token: true, bos_token: '<s>' }, 1],
    ['wants no begin token', { add_bos_token: false, bos_token: '<s>' }, null],
    ['has no begin token', { bos_token: null }, null],
  ])('begin as tokenizer_config.json, which %s, has it', async (_what, file, beginToken) => {
    const source = await openTiny({ files: { 'tokenizer_config.json': file } })
    expect(source.tokenizer.beginToken).toBe(beginToken)
  })

  it.each([
    ['generation_config.json', { eos_token_id: 'two' }, /generation_config\.json eos_token_id/],
    ['generation_config.json', { eos_token_id: [264] }, /special token 264/],
    ['generation_config.json', { eos_token_id: [...Array(16).keys()].map((id) => id + 10) }, /17 end tokens/],
    ['generation_config.json', '{', /generation_config\.json/],
    ['tokenizer_config.json', { add_bos_token: 1 }, /tokenizer_config\.json add_bos_token/],
  ])('in a broken %s are refused', async (file, content, message) => {
    const opening = openTiny({ files: { [file]: content } })
    await expect(opening).rejects.toThrow(ModelFormatError)
    await expect(opening).rejects.toThrow(message)
  })
})
