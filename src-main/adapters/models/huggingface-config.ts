/**
 * A Hugging Face `config.json` of a Llama, in our words. Whatever would change the numbers and is not computed by the
 * engines (biases, scaled rotary positions, other activations, quantised weights) is refused by name.
 */
import * as z from 'zod'
import { type ModelConfig, modelConfigSchema } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { parseBoundedJson } from './bounded-json.ts'

const token = z.int().min(0)
const ropeSchema = z.looseObject({
  rope_type: z.string().max(64).optional(),
  type: z.string().max(64).optional(),
  rope_theta: z.number().positive().optional(),
  partial_rotary_factor: z.number().optional(),
})
const count = z.int().min(1)

/** Defaults are those of transformers' `LlamaConfig`. */
const configSchema = z.looseObject({
  model_type: z.string().max(64),
  architectures: z.array(z.string().max(128)).max(16).nullish(),
  hidden_act: z.string().max(64).default('silu'),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  quantization_config: z.unknown().optional(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  rope_theta: z.number().positive().nullish(),
  partial_rotary_factor: z.number().nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  vocab_size: count,
  max_position_embeddings: count.default(2048),
  rms_norm_eps: z.number().default(1e-6),
  bos_token_id: token.nullish(),
  eos_token_id: z.union([token, z.array(token).max(16)]).nullish(),
})
type HuggingFaceConfig = z.infer<typeof configSchema>

export interface ParsedConfig {
  readonly config: ModelConfig
  readonly beginToken: number | null
  readonly endTokens: number[]
}

/** Pure: `config.json` in our words. */
export function parseHuggingFaceConfig(bytes: Uint8Array): ParsedConfig {
  const raw = checked(configSchema, parseJson(bytes))
  refuseUnsupported(raw)
  const config = checked(modelConfigSchema, toModelConfig(raw))
  const beginToken = raw.bos_token_id ?? null
  const endTokens = [raw.eos_token_id ?? []].flat()
  for (const id of [...endTokens, ...(beginToken === null ? [] : [beginToken])]) {
    if (id >= config.vocabularySize) {
      throw new ModelFormatError('config.json', `special token ${id} is outside the vocabulary`)
    }
  }
  return { config, beginToken, endTokens }
}

function toModelConfig(raw: HuggingFaceConfig): ModelConfig {
  return {
    architecture: 'llama',
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    blockCount: raw.num_hidden_layers,
    headCount: raw.num_attention_heads,
    kvHeadCount: raw.num_key_value_heads ?? raw.num_attention_heads,
    headSize: raw.head_dim ?? raw.hidden_size / raw.num_attention_heads,
    vocabularySize: raw.vocab_size,
    contextLength: raw.max_position_embeddings,
    rmsNormEpsilon: raw.rms_norm_eps,
    ropeTheta: raw.rope_parameters?.rope_theta ?? raw.rope_theta ?? raw.rope_scaling?.rope_theta ?? 10_000,
    ropeStyle: 'half',
    tiedHead: raw.tie_word_embeddings ?? false,
  }
}

function refuseUnsupported(raw: HuggingFaceConfig): void {
  const complaint = unsupportedPart(raw)
  if (complaint !== null) throw new ModelUnsupportedError(complaint)
}

/** The first thing in the config that the engines do not compute; null when there is none. */
function unsupportedPart(raw: HuggingFaceConfig): string | null {
  if (raw.model_type !== 'llama') return `model_type ${raw.model_type}`
  const architecture = raw.architectures?.find((name) => name !== 'LlamaForCausalLM')
  if (architecture !== undefined) return `architecture ${architecture}`
  if (raw.hidden_act !== 'silu') return `hidden_act ${raw.hidden_act}`
  if (raw.attention_bias === true) return 'attention_bias'
  if (raw.mlp_bias === true) return 'mlp_bias'
  if (raw.quantization_config !== undefined && raw.quantization_config !== null) return 'quantization_config'
  return unsupportedRope(raw)
}

function unsupportedRope(raw: HuggingFaceConfig): string | null {
  for (const rope of [raw.rope_scaling, raw.rope_parameters]) {
    const type = rope?.rope_type ?? rope?.type ?? 'default'
    if (type !== 'default') return `rope_scaling ${type}`
    if ((rope?.partial_rotary_factor ?? 1) !== 1) return 'partial_rotary_factor'
  }
  return (raw.partial_rotary_factor ?? 1) === 1 ? null : 'partial_rotary_factor'
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new ModelFormatError(`config.json ${issue?.path.join('.')}`.trimEnd(), issue?.message ?? 'malformed')
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return parseBoundedJson(bytes, { depth: 16, values: 100_000 })
  } catch (cause) {
    throw new ModelFormatError('config.json', cause instanceof Error ? cause.message : 'not JSON', { cause })
  }
}
