import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseHuggingFaceConfig } from '#adapters/models/huggingface-config.ts'
import { type ModelConfig, modelConfigSchema } from '#contracts/model/manifest.ts'
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
    ['model_type gemma2', { model_type: 'gemma2' }],
    ['model_type qwen2_moe', { model_type: 'qwen2_moe' }],
    ['architecture MistralForCausalLM', { architectures: ['MistralForCausalLM'] }],
    ['architecture LlamaForSequenceClassification', { architectures: ['LlamaForSequenceClassification'] }],
    ['hidden_act gelu', { hidden_act: 'gelu' }],
    ['attention_bias', { attention_bias: true }],
    ['mlp_bias', { mlp_bias: true }],
    ['quantization_config', { quantization_config: { quant_method: 'gptq' } }],
    ['rope_scaling yarn', { rope_parameters: { rope_type: 'yarn', rope_theta: 1e4 } }],
    ['rope_scaling dynamic', { rope_scaling: { type: 'dynamic', factor: 2 } }],
    ['rope_scaling longrope', { rope_scaling: { rope_type: 'longrope', short_factor: [1], long_factor: [2] } }],
    ['rope_scaling default and mrope', { rope_scaling: { rope_type: 'default', type: 'mrope' } }],
    ['rope_parameters by layer', { rope_parameters: { full_attention: { rope_type: 'default' } } }],
    ['partial_rotary_factor', { partial_rotary_factor: 0.5 }],
    ['partial_rotary_factor', { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.25 } }],
    ['layer_types', { layer_types: ['full_attention', 'sliding_attention'] }],
    ['layer_types chunked_attention', { layer_types: ['chunked_attention', 'full_attention'] }],
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
    ['a layer type too few', { layer_types: ['full_attention'] }, /layer_types: 1 for 2 blocks/],
    ['two rotary bases', { rope_parameters: { rope_theta: 5e5 } }, /rope_theta: both 10000 and 500000/],
    ['linear scaling by nothing', { rope_scaling: { type: 'linear' } }, /rope_scaling\.factor: linear needs/],
    ['scaling that shrinks', { rope_scaling: { type: 'linear', factor: 0.5 } }, /ropeScaling\.factor/],
    ['an end token outside the vocabulary', { eos_token_id: [2, 999] }, /special token 999/],
  ])('with %s is refused, by place', (_what, changes, message) => {
    expect(() => parse(changes)).toThrow(ModelFormatError)
    expect(() => parse(changes)).toThrow(message)
  })

  it('that is not JSON is refused', () => {
    expect(() => parseHuggingFaceConfig(new TextEncoder().encode('{'))).toThrow(ModelFormatError)
  })
})

const llama3 = {
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8,
}
const llama3Scaling = {
  kind: 'llama3',
  factor: 8,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 4,
  originalContextLength: 8,
}

describe('rotary scaling', () => {
  it.each<[string, Record<string, unknown>, Partial<ModelConfig>]>([
    ['none as null', { rope_scaling: null, rope_parameters: null }, {}],
    ['none as nothing', { rope_scaling: {} }, {}],
    [
      'linear as `type`',
      { rope_scaling: { type: 'linear', factor: 2 } },
      { ropeScaling: { kind: 'linear', factor: 2 } },
    ],
    [
      'linear as `rope_type`',
      { rope_scaling: { rope_type: 'linear', factor: 2.5 } },
      { ropeScaling: { kind: 'linear', factor: 2.5 } },
    ],
    [
      'llama3 as Llama 3.1 has it',
      { rope_theta: 500_000, rope_scaling: { ...llama3, rope_type: 'llama3' } },
      { ropeTheta: 500_000, ropeScaling: llama3Scaling as never },
    ],
    [
      'llama3 with both spellings of its type',
      { rope_scaling: { ...llama3, rope_type: 'llama3', type: 'llama3' } },
      { ropeScaling: llama3Scaling as never },
    ],
    [
      'llama3 in the newer spelling',
      { rope_theta: undefined, rope_parameters: { ...llama3, rope_type: 'llama3', rope_theta: 500_000 } },
      { ropeTheta: 500_000, ropeScaling: llama3Scaling as never },
    ],
    [
      'the same in both places',
      { rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: { rope_type: 'linear', factor: 2 } },
      { ropeScaling: { kind: 'linear', factor: 2 } },
    ],
  ])('may be %s', (_what, changes, expected) => {
    expect(parse(changes).config).toEqual({ ...tinyConfig, ...expected })
  })

  it.each(['factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings'])(
    'of Llama 3 without %s is refused, by place',
    (field) => {
      const rope = { ...llama3, rope_type: 'llama3', [field]: undefined }
      expect(() => parse({ rope_scaling: rope })).toThrow(ModelFormatError)
      expect(() => parse({ rope_scaling: rope })).toThrow(`rope_scaling.${field}`)
    },
  )

  it('of Llama 3 whose bounds are the wrong way round is refused', () => {
    const rope = { ...llama3, rope_type: 'llama3', low_freq_factor: 4 }
    expect(() => parse({ rope_scaling: rope })).toThrow(/highFrequencyFactor is above lowFrequencyFactor/)
  })

  it('that differs between the two places is refused', () => {
    const changes = {
      rope_scaling: { type: 'linear', factor: 2 },
      rope_parameters: { rope_type: 'linear', factor: 4 },
    }
    expect(() => parse(changes)).toThrow(/contradict each other/)
  })
})

describe('a Mistral', () => {
  const mistral = (changes: Record<string, unknown> = {}) =>
    parse({ model_type: 'mistral', architectures: ['MistralForCausalLM'], ...changes }).config

  it.each([
    ['its own size', { sliding_window: 6 }, 6],
    ['the size of the first Mistral when nothing is said', {}, 4096],
    ['its own size, said of every block', { sliding_window: 6, layer_types: Array(2).fill('sliding_attention') }, 6],
  ])('has a sliding window of %s', (_what, changes, slidingWindow) => {
    expect(mistral(changes)).toEqual({ ...tinyConfig, architecture: 'mistral', slidingWindow })
  })

  it('has none when it says null', () => {
    expect(mistral({ sliding_window: null })).toEqual({ ...tinyConfig, architecture: 'mistral' })
  })

  it('shares key heads among eight when nothing is said', () => {
    expect(mistral({ num_attention_heads: 16, num_key_value_heads: undefined, head_dim: 4 }).kvHeadCount).toBe(8)
    expect(mistral({ num_attention_heads: 16, num_key_value_heads: null, head_dim: 4 }).kvHeadCount).toBe(16)
  })

  it('whose blocks are said not to slide although there is a window is unsupported', () => {
    const changes = { sliding_window: 6, layer_types: ['full_attention', 'full_attention'] }
    expect(() => mistral(changes)).toThrow(ModelUnsupportedError)
  })
})

describe('a Qwen', () => {
  const qwen2 = (changes: Record<string, unknown> = {}) =>
    parse({ model_type: 'qwen2', architectures: ['Qwen2ForCausalLM'], ...changes }).config
  const plain = { ...tinyConfig, architecture: 'qwen2', attentionBias: true }

  it('of the second kind has biases, of the third normed heads', () => {
    expect(qwen2()).toEqual(plain)
    const qwen3 = parse({ model_type: 'qwen3', architectures: ['Qwen3ForCausalLM'], head_dim: 6 }).config
    expect(qwen3).toEqual({ ...tinyConfig, architecture: 'qwen3', headSize: 6, queryKeyNorm: true })
  })

  it('of the third kind has heads of 128 when nothing is said, and no biases', () => {
    const qwen3 = { model_type: 'qwen3', architectures: ['Qwen3ForCausalLM'] }
    expect(parse(qwen3).config.headSize).toBe(128)
    expect(() => parse({ ...qwen3, attention_bias: true })).toThrow(/attention_bias/)
  })

  it.each([
    ['is not used', { use_sliding_window: false, sliding_window: 6, max_window_layers: 1 }],
    ['is not said to be used', { sliding_window: 6 }],
    ['would begin after the last block', { use_sliding_window: true, sliding_window: 6, max_window_layers: 2 }],
    ['would begin after block 28, as by default', { use_sliding_window: true, sliding_window: 6 }],
    ['has no size', { use_sliding_window: true, sliding_window: null, max_window_layers: 0 }],
    [
      'is in no block',
      { use_sliding_window: true, sliding_window: 6, layer_types: ['full_attention', 'full_attention'] },
    ],
  ])('ignores a sliding window that %s', (_what, changes) => {
    expect(qwen2(changes)).toEqual(plain)
  })

  it.each([
    ['by count', { max_window_layers: 0 }],
    ['by list', { max_window_layers: 1, layer_types: ['sliding_attention', 'sliding_attention'] }],
  ])('has a sliding window that is in every block %s', (_what, changes) => {
    expect(qwen2({ use_sliding_window: true, sliding_window: 6, ...changes })).toEqual({ ...plain, slidingWindow: 6 })
  })

  it.each([
    ['by count', { max_window_layers: 1 }],
    ['by list', { layer_types: ['full_attention', 'sliding_attention'] }],
  ])('with a sliding window in some blocks %s is unsupported', (_what, changes) => {
    const parsing = () => qwen2({ use_sliding_window: true, sliding_window: 6, ...changes })
    expect(parsing).toThrow(ModelUnsupportedError)
    expect(parsing).toThrow('sliding_window in 1 of 2 blocks')
  })
})

describe('any config.json', () => {
  const value = fc.oneof(
    fc.constantFrom(null, true, false, 0, 1, 2, 4, -1, 0.5, 2 ** 31, 1e308, '', 'llama3', 'linear', 'silu'),
    fc.constantFrom('llama', 'mistral', 'qwen2', 'qwen3'),
    fc.jsonValue({ maxDepth: 2 }),
  )
  const rope = fc.dictionary(
    fc.constantFrom('type', 'rope_type', 'rope_theta', ...Object.keys(llama3), 'full_attention'),
    value,
  )
  const fields = [...Object.keys(tinyHuggingFaceConfig()), 'head_dim', 'sliding_window', 'use_sliding_window']
  const changes = fc.tuple(
    fc.dictionary(fc.constantFrom(...fields, 'max_window_layers', 'layer_types', 'quantization_config'), value),
    fc.dictionary(fc.constantFrom('rope_scaling', 'rope_parameters'), rope),
  )

  it('is either a shape that the manifest can hold or refused by name', () => {
    fc.assert(
      fc.property(changes, ([some, ropes]) => {
        try {
          const { config, endTokens } = parse({ ...some, ...ropes })
          expect(modelConfigSchema.parse(config)).toEqual(config)
          expect(endTokens.every((id) => id < config.vocabularySize)).toBe(true)
        } catch (error) {
          if (error instanceof ModelUnsupportedError || error instanceof ModelFormatError) return
          throw error
        }
      }),
      { numRuns: 1000 },
    )
  })
})
