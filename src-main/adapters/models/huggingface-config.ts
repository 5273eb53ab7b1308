/**
 * A Hugging Face `config.json` of a Llama or a relative, in our words: Llama, Mistral, Qwen2 and Qwen3. Whatever would
 * change the numbers and is not computed by the engines (other biases, other rotary positions, other activations, windows
 * in some blocks only, quantised weights) is refused by name. Defaults are those of transformers' configuration classes.
 */
import * as z from 'zod'
import { type Architecture, architectures, type ModelConfig, modelConfigSchema } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { parseBoundedJson } from './bounded-json.ts'
import { parseSlidingWindow, windowFieldsSchema } from './huggingface-attention.ts'
import { parseRope, ropeFieldsSchema } from './huggingface-rope.ts'

const token = z.int().min(0)
export const endTokenSchema = z.union([token, z.array(token).max(16)]).nullish()
const count = z.int().min(1)

const configSchema = z.looseObject({
  ...ropeFieldsSchema.shape,
  ...windowFieldsSchema.shape,
  model_type: z.string().max(64),
  architectures: z.array(z.string().max(128)).max(16).nullish(),
  hidden_act: z.string().max(64).default('silu'),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  quantization_config: z.unknown().optional(),
  tie_word_embeddings: z.boolean().nullish(),
  hidden_size: count,
  intermediate_size: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  vocab_size: count,
  max_position_embeddings: count.nullish(),
  rms_norm_eps: z.number().default(1e-6),
  bos_token_id: token.nullish(),
  eos_token_id: endTokenSchema,
})
type HuggingFaceConfig = z.infer<typeof configSchema>

/** What transformers assumes where a file says nothing, and what each class always has. */
interface Family {
  readonly className: string
  readonly contextLength: number
  readonly kvHeadCount?: number
  readonly headSize?: number
  readonly always?: Pick<ModelConfig, 'attentionBias' | 'queryKeyNorm'>
  /** `attention_bias` gives the output projection a bias too, which no engine adds. */
  readonly canBias?: true
}

const families: Readonly<Record<Architecture, Family>> = {
  llama: { className: 'LlamaForCausalLM', contextLength: 2048, canBias: true },
  mistral: { className: 'MistralForCausalLM', contextLength: 131_072, kvHeadCount: 8 },
  qwen2: {
    className: 'Qwen2ForCausalLM',
    contextLength: 32_768,
    kvHeadCount: 32,
    always: { attentionBias: true },
  },
  qwen3: {
    className: 'Qwen3ForCausalLM',
    contextLength: 32_768,
    kvHeadCount: 32,
    headSize: 128,
    always: { queryKeyNorm: true },
    canBias: true,
  },
}

export interface ParsedConfig {
  readonly config: ModelConfig
  readonly beginToken: number | null
  readonly endTokens: readonly number[]
}

/** Pure: `config.json` in our words. Throws `ModelFormatError` or `ModelUnsupportedError`. */
export function parseHuggingFaceConfig(bytes: Uint8Array): ParsedConfig {
  const raw = parseFile('config.json', configSchema, bytes)
  const architecture = architectures.find((known) => known === raw.model_type)
  if (architecture === undefined) throw new ModelUnsupportedError(`model_type ${raw.model_type}`)
  refuseUnsupported(raw, families[architecture])
  const config = checked('config.json', modelConfigSchema, toModelConfig(raw, architecture))
  const beginToken = raw.bos_token_id ?? null
  const endTokens = [raw.eos_token_id ?? []].flat()
  expectInVocabulary('config.json', [...endTokens, ...(beginToken === null ? [] : [beginToken])], config)
  return { config, beginToken, endTokens }
}

/** Throws `ModelFormatError` naming a token that the model cannot have. */
export function expectInVocabulary(file: string, tokens: readonly number[], { vocabularySize }: ModelConfig): void {
  const stray = tokens.find((id) => id >= vocabularySize)
  if (stray !== undefined) throw new ModelFormatError(file, `special token ${stray} is outside the vocabulary`)
}

function toModelConfig(raw: HuggingFaceConfig, architecture: Architecture): ModelConfig {
  const family = families[architecture]
  const slidingWindow = parseSlidingWindow(raw, architecture)
  return {
    architecture,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    blockCount: raw.num_hidden_layers,
    headCount: raw.num_attention_heads,
    kvHeadCount: kvHeadCount(raw, family),
    headSize: raw.head_dim ?? family.headSize ?? raw.hidden_size / raw.num_attention_heads,
    vocabularySize: raw.vocab_size,
    contextLength: raw.max_position_embeddings ?? family.contextLength,
    rmsNormEpsilon: raw.rms_norm_eps,
    ...parseRope(raw),
    ropeStyle: 'half',
    tiedHead: raw.tie_word_embeddings ?? false,
    ...(slidingWindow !== null && { slidingWindow }),
    ...family.always,
  }
}

/** A file that leaves the number out means the class's default; one that says null means no sharing. */
function kvHeadCount({ num_key_value_heads: said, num_attention_heads: heads }: HuggingFaceConfig, family: Family) {
  return said === undefined ? (family.kvHeadCount ?? heads) : (said ?? heads)
}

function refuseUnsupported(raw: HuggingFaceConfig, family: Family): void {
  const complaint = unsupportedPart(raw, family)
  if (complaint !== null) throw new ModelUnsupportedError(complaint)
}

/** The first thing in the config that the engines do not compute; null when there is none. */
function unsupportedPart(raw: HuggingFaceConfig, { className, canBias }: Family): string | null {
  const architecture = raw.architectures?.find((name) => name !== className)
  if (architecture !== undefined) return `architecture ${architecture}`
  if (raw.hidden_act !== 'silu') return `hidden_act ${raw.hidden_act}`
  if (canBias === true && raw.attention_bias === true) return 'attention_bias'
  if (raw.mlp_bias === true) return 'mlp_bias'
  return raw.quantization_config === undefined || raw.quantization_config === null ? null : 'quantization_config'
}

/** A JSON file of a model's folder, parsed and checked. Throws `ModelFormatError` naming the file and the field. */
export function parseFile<T>(file: string, schema: z.ZodType<T>, bytes: Uint8Array): T {
  return checked(file, schema, parseJson(file, bytes))
}

function checked<T>(file: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new ModelFormatError(`${file} ${issue?.path.join('.')}`.trimEnd(), issue?.message ?? 'malformed')
}

function parseJson(file: string, bytes: Uint8Array): unknown {
  try {
    return parseBoundedJson(bytes, { depth: 16, values: 100_000 })
  } catch (cause) {
    throw new ModelFormatError(file, cause instanceof Error ? cause.message : 'not JSON', { cause })
  }
}
