import type { Floats } from './floats.ts'

/** exp(xᵢ) / Σⱼ exp(xⱼ), safe for large values. (n,) -> (n,) */
export function softmax(x: Floats): Float64Array {
  return logSoftmax(x).map(Math.exp)
}

/** xᵢ - log Σⱼ exp(xⱼ), safe for large values. (n,) -> (n,) */
export function logSoftmax(x: Floats): Float64Array {
  let maximum = Number.NEGATIVE_INFINITY
  for (const value of x) maximum = Math.max(maximum, value)
  let sum = 0
  for (const value of x) sum += Math.exp(value - maximum)
  const logSum = maximum + Math.log(sum)
  return Float64Array.from(x, (value) => value - logSum)
}

/**
 * -Σₜ log p(targetsₜ), in nats, where p is the softmax of row t. `logits`: (tokens, vocabularySize), `targets`: (tokens,).
 * Throws `RangeError` when a target is outside the vocabulary or the lengths do not fit.
 */
export function negativeLogLikelihood(logits: Floats, targets: readonly number[]): number {
  const vocabularySize = logits.length / targets.length
  let sum = 0
  for (const [t, target] of targets.entries()) {
    const logProbability = logSoftmax(logits.subarray(t * vocabularySize, (t + 1) * vocabularySize))[target]
    if (logProbability === undefined) throw new RangeError(`target ${target} is not below ${vocabularySize}`)
    sum -= logProbability
  }
  return sum
}
