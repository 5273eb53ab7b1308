import { describe, expect, it } from 'vitest'
import { parseHuggingFaceConfig } from '#adapters/models/huggingface-config.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { tinyConfig, tinyHuggingFaceConfig } from './tiny-models.ts'

const parse = (changes: Record<string, unknown> = {}) =>
  parseHuggingFaceConfig(new TextEncoder().encode(JSON.stringify(tinyHuggingFaceConfig(changes))))

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
