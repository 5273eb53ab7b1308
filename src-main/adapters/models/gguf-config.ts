/**
 * A model's shape from GGUF metadata, in our words. llama.cpp's converter interleaves the rows of query and key matrices
 * for `llama` (which is also what Mistral's files say they are), so that rotary pairs are neighbours; for the Qwens it
 * leaves them as they were. Whatever would change the numbers and is not computed here is refused by name.
 * Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { type Architecture, architectures, type ModelConfig, modelConfigSchema } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import type { GgufFields } from './gguf-fields.ts'
import type { GgufLayout } from './gguf-layout.ts'
import { ropeScalingOfDivisors, ropeScalingOfMetadata } from './gguf-rope.ts'

/** Pure. `divisors` is `rope_freqs.weight`. Throws `ModelFormatError` or `ModelUnsupportedError`. */
export function ggufConfig(layout: GgufLayout, divisors: Float32Array | null, label: string): ModelConfig {
  const { fields } = layout
  const architecture = ggufArchitecture(fields, label)
  const unsupported = unsupportedPart(fields, architecture)
  if (unsupported !== null) throw new ModelUnsupportedError(unsupported)
  const parsed = modelConfigSchema.safeParse(describe(layout, architecture, divisors, label))
  if (parsed.success) return checkedHeads(parsed.data, fields)
  const issue = parsed.error.issues[0]
  throw new ModelFormatError(`${label}: ${issue?.path.join('.')}`, issue?.message ?? 'malformed')
}

export function ggufArchitecture(fields: GgufFields, label: string): Architecture {
  const type = fields.text('general.type') ?? 'model'
  if (type !== 'model') throw new ModelUnsupportedError(`GGUF of type ${type.slice(0, 64)}`)
  const parts = fields.count('split.count') ?? 1
  if (parts > 1) throw new ModelUnsupportedError(`GGUF split into ${parts} files`)
  const name = fields.text('general.architecture')
  if (name === undefined) throw missing('general.architecture', label)
  const architecture = architectures.find((known) => known === name)
  if (architecture === undefined) throw new ModelUnsupportedError(`architecture ${name.slice(0, 64)}`)
  return architecture
}

function describe(
  { fields, tensors }: GgufLayout,
  architecture: Architecture,
  divisors: Float32Array | null,
  label: string,
): ModelConfig {
  const count = (name: string) => {
    const value = fields.count(`${architecture}.${name}`)
    if (value === undefined) throw missing(`${architecture}.${name}`, label)
    return value
  }
  const hiddenSize = count('embedding_length')
  const headCount = count('attention.head_count')
  const headSize = fields.count(`${architecture}.attention.key_length`) ?? hiddenSize / headCount
  const ropeTheta = fields.number(`${architecture}.rope.freq_base`) ?? 10_000
  const slidingWindow = fields.count(`${architecture}.attention.sliding_window`) ?? 0
  const ropeScaling = scaling(fields, architecture, { divisors, headSize, ropeTheta })
  return {
    architecture,
    hiddenSize,
    intermediateSize: count('feed_forward_length'),
    blockCount: count('block_count'),
    headCount,
    kvHeadCount: fields.count(`${architecture}.attention.head_count_kv`) ?? headCount,
    headSize,
    vocabularySize: vocabularySize(fields, tensors, architecture, label),
    contextLength: count('context_length'),
    rmsNormEpsilon: epsilon(fields, architecture, label),
    ropeTheta,
    ropeStyle: architecture === 'llama' || architecture === 'mistral' ? 'interleaved' : 'half',
    tiedHead: !tensors.has('output.weight'),
    ...(ropeScaling === undefined ? {} : { ropeScaling }),
    ...(slidingWindow === 0 ? {} : { slidingWindow }),
    ...(architecture === 'qwen2' || tensors.has('blk.0.attn_q.bias') ? { attentionBias: true } : {}),
    ...(architecture === 'qwen3' ? { queryKeyNorm: true } : {}),
  }
}

interface Rotary {
  readonly divisors: Float32Array | null
  readonly headSize: number
  readonly ropeTheta: number
}

function scaling(fields: GgufFields, architecture: Architecture, { divisors, ...shape }: Rotary) {
  const stated = ropeScalingOfMetadata(fields, architecture)
  if (divisors === null) return stated
  const length = fields.count(`${architecture}.rope.scaling.original_context_length`)
  const found = ropeScalingOfDivisors(divisors, shape, length)
  if (found !== undefined && stated !== undefined) {
    throw new ModelUnsupportedError('rope scaling in the metadata and rope_freqs.weight beside it')
  }
  return found ?? stated
}

/** What the embedding has rows for; the metadata may repeat it. */
function vocabularySize(
  fields: GgufFields,
  tensors: GgufLayout['tensors'],
  architecture: Architecture,
  label: string,
): number {
  const rows = tensors.get('token_embd.weight')?.shape[0]
  if (rows === undefined) throw new ModelFormatError(label, 'tensor token_embd.weight is missing')
  const stated = fields.count(`${architecture}.vocab_size`) ?? rows
  if (stated === rows) return rows
  throw new ModelFormatError(`${label}: ${architecture}.vocab_size`, `${stated}, token_embd.weight has ${rows} rows`)
}

function epsilon(fields: GgufFields, architecture: Architecture, label: string): number {
  const key = `${architecture}.attention.layer_norm_rms_epsilon`
  const value = fields.number(key)
  if (value === undefined) throw missing(key, label)
  return value
}

/** The first thing in the metadata that the engines do not compute; null when there is none. */
function unsupportedPart(fields: GgufFields, architecture: Architecture): string | null {
  const key = (name: string) => `${architecture}.${name}`
  const experts = fields.count(key('expert_count')) ?? 0
  if (experts > 0) return `${key('expert_count')} ${experts}`
  const neutral: Readonly<Record<string, number>> = { logit_scale: 1, residual_scale: 1, embedding_scale: 1 }
  const changed = changingNumbers.find((name) => {
    const value = fields.number(key(name)) ?? 0
    return value !== 0 && value !== neutral[name]
  })
  if (changed !== undefined) return key(changed)
  if (fields.flag(key('attention.causal')) === false) return key('attention.causal')
  if (fields.flag(key('use_parallel_residual')) === true) return key('use_parallel_residual')
  return fields.has(key('attention.sliding_window_pattern')) ? key('attention.sliding_window_pattern') : null
}

/** Each of them, unless 0 (or neutral), is a step in the forward pass that a Llama does not have. */
const changingNumbers = [
  'logit_scale',
  'residual_scale',
  'embedding_scale',
  'attention.scale',
  'attention.clamp_kqv',
  'attention.max_alibi_bias',
  'attention.temperature_scale',
  'attn_logit_softcapping',
  'final_logit_softcapping',
] as const

function checkedHeads(config: ModelConfig, fields: GgufFields): ModelConfig {
  const rotated = fields.count(`${config.architecture}.rope.dimension_count`) ?? config.headSize
  if (rotated !== config.headSize) {
    throw new ModelUnsupportedError(`rotary positions for ${rotated} of a head’s ${config.headSize} dimensions`)
  }
  const valueSize = fields.count(`${config.architecture}.attention.value_length`) ?? config.headSize
  if (valueSize !== config.headSize) {
    throw new ModelUnsupportedError(`value heads of ${valueSize} beside key heads of ${config.headSize}`)
  }
  return config
}

function missing(key: string, label: string): ModelFormatError {
  return new ModelFormatError(`${label}: ${key}`, 'is missing')
}
