/**
 * Reverse mode of a block: from ∂L/∂output to ∂L/∂x and everything it was made with. Keys and values of earlier positions
 * are constants. Gradients of matrices stay in two factors (`LinearFactors`), so that nobody forms those they do not want.
 */
import type { ModelConfig, OptionalBlockTensorRole } from '#contracts/model/manifest.ts'
import { attentionBackward } from './attention-backward.ts'
import type { BlockWeights } from './block.ts'
import {
  type AttentionTrace,
  type BlockScales,
  type BlockTrace,
  type ByScale,
  scaleRows,
} from './block-backward-trace.ts'
import type { Floats } from './floats.ts'
import { add } from './linear.ts'
import {
  biasGradient,
  type LinearFactors,
  linearInputGradient,
  linearWeightGradient,
  linearWeightGradientAt,
  scaleGradient,
} from './linear-backward.ts'
import { rmsNormBackward } from './rms-norm-backward.ts'
import { ropeBackward } from './rope-backward.ts'
import { gatedBackward } from './swiglu-backward.ts'

export type MatrixRole = 'query' | 'key' | 'value' | 'output' | 'gate' | 'up' | 'down'
export type VectorRole = 'attentionNorm' | 'feedForwardNorm' | OptionalBlockTensorRole

export interface BlockGradients {
  readonly input: Float64Array // (tokens, hiddenSize)
  readonly matrices: Readonly<Record<MatrixRole, LinearFactors>>
  /** Those that the architecture has. */
  readonly vectors: Readonly<Partial<Record<VectorRole, Float64Array>>>
  /** Also of vectors that are all ones because no patch has them. */
  readonly scales: ByScale<Float64Array>
}

interface Patched {
  readonly weights: BlockWeights
  readonly scales: BlockScales
}

/** `outputGradient`: (tokens, hiddenSize); `trace` was made with the same weights and scales. */
export function blockBackward(
  outputGradient: Floats,
  trace: BlockTrace,
  patched: Patched,
  config: ModelConfig,
): BlockGradients {
  const feedForward = feedForwardBackward(outputGradient, trace, patched, config)
  const dh = add(outputGradient, feedForward.input)
  const attention = selfAttentionBackward(dh, trace, patched, config)
  return {
    input: add(dh, attention.input),
    matrices: { ...attention.matrices, ...feedForward.matrices },
    vectors: { ...attention.vectors, ...feedForward.vectors },
    scales: { ...attention.scales, ...feedForward.scales },
  }
}

/** The whole gradient of a tensor; undefined for one that the architecture does not have. */
export function tensorGradient(
  { matrices, vectors }: BlockGradients,
  role: MatrixRole | VectorRole,
): Float64Array | undefined {
  return role in matrices ? linearWeightGradient(matrices[role as MatrixRole]) : vectors[role as VectorRole]
}

/** The gradient of a matrix at some entries, row-major -> (indices,) */
export function entriesGradient({ matrices }: BlockGradients, role: MatrixRole, indices: Uint32Array): Float64Array {
  return Float64Array.from(indices, (index) => linearWeightGradientAt(matrices[role], index))
}

/** Reverse of (s ⊙ silu(n gateᵀ) ⊙ n upᵀ) downᵀ with n = norm(h). */
function feedForwardBackward(
  outputGradient: Floats,
  { tokens, h, feedForward }: BlockTrace,
  { weights, scales }: Patched,
  { hiddenSize, intermediateSize, rmsNormEpsilon }: ModelConfig,
) {
  const { normed, gate, up, gated, scaled } = feedForward
  const scaledGradient = linearInputGradient(outputGradient, weights.down, intermediateSize)
  const d = gatedBackward(scaleRows(scaledGradient, scales.feedForward), gate, up)
  const normedGradient = add(
    linearInputGradient(d.gate, weights.gate, hiddenSize),
    linearInputGradient(d.up, weights.up, hiddenSize),
  )
  const norm = rmsNormBackward(normedGradient, h, weights.feedForwardNorm, rmsNormEpsilon)
  return {
    input: norm.input,
    matrices: {
      gate: { input: normed, outputGradient: d.gate, tokens },
      up: { input: normed, outputGradient: d.up, tokens },
      down: { input: scaled, outputGradient, tokens },
    },
    vectors: { feedForwardNorm: norm.gain },
    scales: { feedForward: scaleGradient(gated, scaledGradient, intermediateSize) },
  }
}

/** Reverse of attention(norm(x)) outputᵀ. */
function selfAttentionBackward(
  outputGradient: Floats,
  trace: BlockTrace,
  { weights, scales }: Patched,
  config: ModelConfig,
) {
  const { hiddenSize, headCount, headSize, rmsNormEpsilon } = config
  const { tokens, x, attention } = trace
  const { normed, projected, attended } = attention
  const attendedGradient = linearInputGradient(outputGradient, weights.output, headCount * headSize)
  const heads = headsBackward(attendedGradient, trace.position, attention, weights, config)
  const dq = heads.query
  const dk = scaleRows(heads.key, scales.key)
  const dv = scaleRows(heads.value, scales.value)
  const normedGradient = [
    linearInputGradient(dq, weights.query, hiddenSize),
    linearInputGradient(dk, weights.key, hiddenSize),
    linearInputGradient(dv, weights.value, hiddenSize),
  ].reduce(add)
  const norm = rmsNormBackward(normedGradient, x, weights.attentionNorm, rmsNormEpsilon)
  const kvWidth = config.kvHeadCount * headSize
  return {
    input: norm.input,
    matrices: {
      query: { input: normed, outputGradient: dq, tokens },
      key: { input: normed, outputGradient: dk, tokens },
      value: { input: normed, outputGradient: dv, tokens },
      output: { input: attended, outputGradient, tokens },
    },
    vectors: {
      attentionNorm: norm.gain,
      ...heads.gains,
      ...(weights.queryBias && { queryBias: biasGradient(dq, headCount * headSize) }),
      ...(weights.keyBias && { keyBias: biasGradient(dk, kvWidth) }),
      ...(weights.valueBias && { valueBias: biasGradient(dv, kvWidth) }),
    },
    scales: {
      key: scaleGradient(projected.key, heads.key, kvWidth),
      value: scaleGradient(projected.value, heads.value, kvWidth),
    },
  }
}

/** Back through attention, rotation and the heads' norms, to queries as projected and keys and values as scaled. */
function headsBackward(
  attendedGradient: Float64Array,
  position: number,
  { query, cache, projected, scaledKey }: AttentionTrace,
  { queryNorm, keyNorm }: BlockWeights,
  config: ModelConfig,
) {
  const d = attentionBackward(attendedGradient, query, cache, config)
  const own = position * config.kvHeadCount * config.headSize // what lies before is the past's
  const dKey = d.keys.subarray(own)
  ropeBackward(d.queries, position, config, config.headCount)
  ropeBackward(dKey, position, config, config.kvHeadCount)
  const queryBack = queryNorm && rmsNormBackward(d.queries, projected.query, queryNorm, config.rmsNormEpsilon)
  const keyBack = keyNorm && rmsNormBackward(dKey, scaledKey, keyNorm, config.rmsNormEpsilon)
  return {
    query: queryBack?.input ?? d.queries,
    key: keyBack?.input ?? dKey,
    value: d.values.subarray(own),
    gains: { ...(queryBack && { queryNorm: queryBack.gain }), ...(keyBack && { keyNorm: keyBack.gain }) },
  }
}
