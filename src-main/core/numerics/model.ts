/** A whole Llama, from token ids to logits: embed, blocks, norm, head. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { type BlockWeights, blockForward } from './block.ts'
import type { Floats } from './floats.ts'
import { createKeyValueCache, type KeyValueCache } from './key-value-cache.ts'
import { linear } from './linear.ts'
import { rmsNorm } from './rms-norm.ts'

export interface ModelWeights {
  readonly embedding: Floats // (vocabulary, hidden)
  readonly blocks: readonly BlockWeights[]
  readonly finalNorm: Floats // (hidden,)
  readonly head: Floats // (vocabulary, hidden); the embedding itself when tied
}

export interface ModelActivations {
  /** Hidden states after 0, 1, … all blocks, each (tokens, hiddenSize). */
  readonly hidden: readonly Float64Array[]
  readonly logits: Float64Array // (tokens, vocabularySize)
}

/** One cache a block, empty. */
export function createCaches(config: ModelConfig): KeyValueCache[] {
  return Array.from({ length: config.blockCount }, createKeyValueCache)
}

/** Runs `tokens`: (tokens,) after what `caches` remember. Throws `RangeError` for an id outside the vocabulary. */
export function modelForward(
  tokens: readonly number[],
  weights: ModelWeights,
  config: ModelConfig,
  caches: readonly KeyValueCache[] = createCaches(config),
): ModelActivations {
  let x: Float64Array = embed(tokens, weights.embedding, config)
  const hidden = [x]
  for (const [index, block] of weights.blocks.entries()) {
    x = blockForward(x, block, caches[index] as KeyValueCache, config)
    hidden.push(x)
  }
  return { hidden, logits: logitsOf(x, weights, config) }
}

/** Rows of the embedding. (tokens,) -> (tokens, hiddenSize) */
export function embed(tokens: readonly number[], embedding: Floats, { hiddenSize, vocabularySize }: ModelConfig) {
  const x = new Float64Array(tokens.length * hiddenSize)
  for (const [t, token] of tokens.entries()) {
    if (!(token >= 0 && token < vocabularySize)) throw new RangeError(`token ${token} is not below ${vocabularySize}`)
    x.set(embedding.subarray(token * hiddenSize, (token + 1) * hiddenSize), t * hiddenSize)
  }
  return x
}

/** `hidden`: (tokens, hiddenSize) after the last block -> (tokens, vocabularySize) */
export function logitsOf(
  hidden: Floats,
  { finalNorm, head }: Pick<ModelWeights, 'finalNorm' | 'head'>,
  { rmsNormEpsilon, hiddenSize }: ModelConfig,
): Float64Array {
  return linear(rmsNorm(hidden, finalNorm, rmsNormEpsilon), head, hiddenSize)
}
