import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openHuggingFace, parseHuggingFaceConfig } from '#adapters/models/huggingface.ts'
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
const parse = (changes: Record<string, unknown> = {}) =>
  parseHuggingFaceConfig(new TextEncoder().encode(JSON.stringify(tinyHuggingFaceConfig(changes))))

async function openTiny(parts: TinyFolder = {}) {
  const source = await openHuggingFace(await writeHuggingFaceFolder(await newFolder(), 'tiny', parts))
  await source.close()
  return source
}

describe('config.json', () => {
  it('is read in our words', () => {
    expect(parse()).toEqual({ config: tinyConfig, beginToken: 1, endTokens: [2] })
  })

  it('falls back on the defaults of transformers', () => {
    const bytes = new TextEncoder().encode(
      JSON.stringify({
        model_type: 'llama',
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        vocab_size: 264,
      }),
    )
    const { config, beginToken, endTokens } = parseHuggingFaceConfig(bytes)
    expect(config).toMatchObject({ kvHeadCount: 2, headSize: 4, contextLength: 2048, rmsNormEpsilon: 1e-6 })
    expect(config).toMatchObject({ ropeTheta: 10_000, tiedHead: false })
    expect([beginToken, endTokens]).toEqual([null, []])
  })

  it.each([
    ['a list of end tokens', { eos_token_id: [2, 5] }, { endTokens: [2, 5] }],
    ['no end token', { eos_token_id: null }, { endTokens: [] }],
    ['a head size of its own', { head_dim: 6 }, { config: { headSize: 6 } }],
    [
      'the rotary base of newer files',
      { rope_theta: undefined, rope_parameters: { rope_type: 'default', rope_theta: 5e5 } },
      { config: { ropeTheta: 5e5 } },
    ],
    ['rotary scaling that scales nothing', { rope_scaling: { type: 'default' } }, { config: { ropeTheta: 10_000 } }],
    ['an untied head', { tie_word_embeddings: false }, { config: { tiedHead: false } }],
    ['fields we need not know', { use_cache: true, pad_token_id: -1 }, { config: { hiddenSize: 8 } }],
  ])('may have %s', (_what, changes, expected) => {
    expect(parse(changes)).toMatchObject(expected)
  })

  it.each([
    ['model_type mistral', { model_type: 'mistral' }],
    ['architecture LlamaForSequenceClassification', { architectures: ['LlamaForSequenceClassification'] }],
    ['hidden_act gelu', { hidden_act: 'gelu' }],
    ['attention_bias', { attention_bias: true }],
    ['mlp_bias', { mlp_bias: true }],
    ['quantization_config', { quantization_config: { quant_method: 'gptq' } }],
    ['rope_scaling llama3', { rope_scaling: { rope_type: 'llama3', factor: 8 } }],
    ['rope_scaling linear', { rope_scaling: { type: 'linear', factor: 2 } }],
    ['rope_scaling yarn', { rope_parameters: { rope_type: 'yarn', rope_theta: 1e4 } }],
    ['partial_rotary_factor', { partial_rotary_factor: 0.5 }],
  ])('with %s is unsupported, by name', (what, changes) => {
    expect(() => parse(changes)).toThrow(ModelUnsupportedError)
    expect(() => parse(changes)).toThrow(what)
  })

  it.each([
    ['a missing size', { hidden_size: undefined }, /config\.json hidden_size/],
    ['a size that is text', { hidden_size: '8' }, /config\.json hidden_size/],
    ['an enormous size', { hidden_size: 2 ** 40 }, /config\.json hiddenSize/],
    [
      'heads that do not divide the hidden size',
      { num_attention_heads: 3, num_key_value_heads: 3 },
      /config\.json headSize/,
    ],
    ['key heads that do not divide the heads', { num_attention_heads: 4, num_key_value_heads: 3 }, /kvHeadCount/],
    ['an odd head size', { head_dim: 5 }, /headSize/],
    ['a begin token outside the vocabulary', { bos_token_id: 264 }, /special token 264/],
    ['an end token outside the vocabulary', { eos_token_id: [2, 999] }, /special token 999/],
  ])('with %s is refused, by place', (_what, changes, message) => {
    expect(() => parse(changes)).toThrow(ModelFormatError)
    expect(() => parse(changes)).toThrow(message)
  })

  it('that is not JSON is refused', () => {
    expect(() => parseHuggingFaceConfig(new TextEncoder().encode('{'))).toThrow(ModelFormatError)
  })
})

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
