/**
 * A block's forward pass that keeps what its reverse needs, with (IA)³ vectors (Liu et al. 2022) where a patch has them:
 * they multiply what the key, value and up projections give, so W x + b becomes s ⊙ (W x + b).
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { attention } from './attention.ts'
import type { BlockWeights } from './block.ts'
import { at, type Floats } from './floats.ts'
import { appendToCache, type KeyValueCache } from './key-value-cache.ts'
import { add, addBias, linear } from './linear.ts'
import { rmsNorm } from './rms-norm.ts'
import { applyRope } from './rope.ts'
import { silu } from './swiglu.ts'

/** One `T` for each (IA)³ vector of a block. */
export interface ByScale<T> {
  readonly key: T // (kvHeads * headSize,)
  readonly value: T // (kvHeads * headSize,)
  readonly feedForward: T // (intermediateSize,)
}

/** A vector left out is all ones. */
export type BlockScales = Partial<ByScale<Floats>>

export interface BlockTrace {
  readonly tokens: number
  /** Of the first token: how many positions came before. */
  readonly position: number
  readonly x: Floats // (tokens, hiddenSize)
  readonly attention: AttentionTrace
  readonly h: Float64Array // (tokens, hiddenSize), after attention's residual
  readonly feedForward: FeedForwardTrace
  readonly output: Float64Array // (tokens, hiddenSize)
}

export interface AttentionTrace {
  readonly normed: Float64Array // (tokens, hiddenSize)
  /** As projected, biases added, before scales, norms and rotation. */
  readonly projected: { readonly query: Float64Array; readonly key: Float64Array; readonly value: Float64Array }
  /** Keys as they enter their norm, or rotation. */
  readonly scaledKey: Float64Array
  readonly query: Float64Array // (tokens, heads, headSize), turned
  /** The past's and the tokens' own. */
  readonly cache: KeyValueCache
  readonly attended: Float64Array // (tokens, heads, headSize)
}

export interface FeedForwardTrace {
  readonly normed: Float64Array // (tokens, hiddenSize)
  readonly gate: Float64Array // (tokens, intermediateSize)
  readonly up: Float64Array // (tokens, intermediateSize), before its scale
  readonly gated: Float64Array // silu(gate) ⊙ up
  readonly scaled: Float64Array // s ⊙ gated
}

/** `x`: (tokens, hiddenSize) after the positions of `past`, which stays as it is. */
export function traceBlock(
  x: Floats,
  { weights, scales }: { readonly weights: BlockWeights; readonly scales: BlockScales },
  past: KeyValueCache,
  config: ModelConfig,
): BlockTrace {
  const { hiddenSize, rmsNormEpsilon } = config
  const attentionTrace = traceAttention(
    rmsNorm(x, weights.attentionNorm, rmsNormEpsilon),
    weights,
    scales,
    past,
    config,
  )
  const h = add(x, linear(attentionTrace.attended, weights.output, config.headCount * config.headSize))
  const feedForward = traceFeedForward(rmsNorm(h, weights.feedForwardNorm, rmsNormEpsilon), weights, scales, hiddenSize)
  return {
    tokens: x.length / hiddenSize,
    position: past.length,
    x,
    attention: attentionTrace,
    h,
    feedForward,
    output: add(h, linear(feedForward.scaled, weights.down, config.intermediateSize)),
  }
}

function traceAttention(
  normed: Float64Array,
  weights: BlockWeights,
  scales: BlockScales,
  past: KeyValueCache,
  config: ModelConfig,
): AttentionTrace {
  const { hiddenSize, headCount, kvHeadCount, headSize, rmsNormEpsilon } = config
  const projected = {
    query: addBias(linear(normed, weights.query, hiddenSize), weights.queryBias),
    key: addBias(linear(normed, weights.key, hiddenSize), weights.keyBias),
    value: addBias(linear(normed, weights.value, hiddenSize), weights.valueBias),
  }
  const scaledKey = scaleRows(projected.key, scales.key)
  const normHeads = (x: Float64Array, gain: Floats | undefined) =>
    gain ? rmsNorm(x, gain, rmsNormEpsilon) : Float64Array.from(x)
  const query = normHeads(projected.query, weights.queryNorm)
  const key = normHeads(scaledKey, weights.keyNorm)
  applyRope(query, past.length, config, headCount)
  applyRope(key, past.length, config, kvHeadCount)
  const cache = { ...past }
  const width = kvHeadCount * headSize
  cache.keys = past.keys.slice(0, past.length * width)
  cache.values = past.values.slice(0, past.length * width)
  appendToCache(cache, key, scaleRows(projected.value, scales.value), width)
  return { normed, projected, scaledKey, query, cache, attended: attention(query, cache, config) }
}

function traceFeedForward(
  normed: Float64Array,
  weights: BlockWeights,
  scales: BlockScales,
  hiddenSize: number,
): FeedForwardTrace {
  const gate = linear(normed, weights.gate, hiddenSize)
  const up = linear(normed, weights.up, hiddenSize)
  const gated = gate.map((z, i) => silu(z) * at(up, i))
  return { normed, gate, up, gated, scaled: scaleRows(gated, scales.feedForward) }
}

/** s ⊙ each row of `x`: (tokens, size); `x` itself without `s`. */
export function scaleRows(x: Float64Array, scale: Floats | undefined): Float64Array {
  return scale === undefined ? x : x.map((value, i) => value * at(scale, i % scale.length))
}
