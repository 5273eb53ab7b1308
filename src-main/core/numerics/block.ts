/**
 * One transformer block of a Llama or a relative: attention and feed-forward, each after a norm and beside a residual
 * connection. Qwen2 adds biases to queries, keys and values (Yang et al. 2024, Qwen2, §2.2.1), Qwen3 norms each head's
 * query and key before they are turned (Yang et al. 2025, Qwen3, §2).
 */
import type { BlockTensorRole, ModelConfig, OptionalBlockTensorRole } from '#contracts/model/manifest.ts'
import { attention } from './attention.ts'
import type { Floats } from './floats.ts'
import { appendToCache, type KeyValueCache } from './key-value-cache.ts'
import { add, addBias, linear } from './linear.ts'
import { rmsNorm } from './rms-norm.ts'
import { applyRope } from './rope.ts'
import { swiglu } from './swiglu.ts'

/** One `T` for each tensor a block has: those all architectures have, and those this one adds. */
export type ByBlockTensor<T> = Readonly<Record<Exclude<BlockTensorRole, OptionalBlockTensorRole>, T>> &
  Readonly<Partial<Record<OptionalBlockTensorRole, T>>>

/** A block's tensors by the role they play; shapes are those of `blockShapes`. */
export type BlockWeights = ByBlockTensor<Floats>

/** The shape of each tensor that a block of this architecture has, and of no other. Matrices are (out, in). */
export function blockShapes(config: ModelConfig): ByBlockTensor<readonly number[]> {
  const { hiddenSize, intermediateSize, headSize, attentionBias, queryKeyNorm } = config
  const queryWidth = config.headCount * headSize
  const kvWidth = config.kvHeadCount * headSize
  return {
    attentionNorm: [hiddenSize],
    query: [queryWidth, hiddenSize],
    key: [kvWidth, hiddenSize],
    value: [kvWidth, hiddenSize],
    output: [hiddenSize, queryWidth],
    feedForwardNorm: [hiddenSize],
    gate: [intermediateSize, hiddenSize],
    up: [intermediateSize, hiddenSize],
    down: [hiddenSize, intermediateSize],
    ...(attentionBias && { queryBias: [queryWidth], keyBias: [kvWidth], valueBias: [kvWidth] }),
    ...(queryKeyNorm && { queryNorm: [headSize], keyNorm: [headSize] }),
  }
}

/**
 * h = x + attention(norm(x)); h + swiglu(norm(h)) (Touvron et al. 2023, §2.2). Appends `x`: (tokens, hiddenSize) to the
 * cache, from position `cache.length` on -> (tokens, hiddenSize)
 */
export function blockForward(x: Floats, weights: BlockWeights, cache: KeyValueCache, config: ModelConfig) {
  const attended = selfAttention(rmsNorm(x, weights.attentionNorm, config.rmsNormEpsilon), weights, cache, config)
  const h = add(x, attended)
  const normed = rmsNorm(h, weights.feedForwardNorm, config.rmsNormEpsilon)
  return add(h, swiglu(normed, weights, config.hiddenSize))
}

/** `x`: (tokens, hiddenSize), already normed -> (tokens, hiddenSize) */
function selfAttention(x: Floats, weights: BlockWeights, cache: KeyValueCache, config: ModelConfig): Float64Array {
  const { hiddenSize, headCount, kvHeadCount, headSize } = config
  const project = (weight: Floats, bias: Floats | undefined) => addBias(linear(x, weight, hiddenSize), bias)
  const normed = (heads: Float64Array, gain: Floats | undefined) =>
    gain === undefined ? heads : rmsNorm(heads, gain, config.rmsNormEpsilon) // gain: (headSize,)
  const query = normed(project(weights.query, weights.queryBias), weights.queryNorm) // (tokens, heads, headSize)
  const key = normed(project(weights.key, weights.keyBias), weights.keyNorm) // (tokens, kvHeads, headSize)
  const value = project(weights.value, weights.valueBias) // (tokens, kvHeads, headSize)
  applyRope(query, cache.length, config, headCount)
  applyRope(key, cache.length, config, kvHeadCount)
  appendToCache(cache, key, value, kvHeadCount * headSize)
  return linear(attention(query, cache, config), weights.output, headCount * headSize)
}
