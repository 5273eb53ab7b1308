/** Drawing targets from the model's own distribution: the same for one seed, whatever runs the examples are cut into. */

/** A number in [0, 1) for each place of each example: a hash of seed and place, so that order plays no part. */
export function createUniforms(seed: number): (example: number, position: number) => number {
  const [low, high] = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0]
  return (example, position) => {
    const key = mix(mix(mix(mix(low) ^ high) ^ example) ^ position)
    return ((mix(key ^ 0x9e3779b9) >>> 5) * 2 ** 26 + (mix(key ^ 0x3c6ef372) >>> 6)) / 2 ** 53
  }
}

/** MurmurHash3's finaliser (Appleby 2011, public domain), after an odd constant so that 0 does not stay 0. */
function mix(word: number): number {
  let mixed = (word + 0x9e3779b9) | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

/** The first place where the probabilities so far exceed `uniform` of their sum. `logProbabilities`: (vocabulary,) */
export function drawTarget(logProbabilities: Float32Array, uniform: number): number {
  let total = 0
  for (const value of logProbabilities) total += Math.exp(value)
  let left = uniform * total
  let likely = 0
  for (let target = 0; target < logProbabilities.length; target++) {
    const probability = Math.exp(logProbabilities[target] as number)
    left -= probability
    if (left < 0) return target
    if (probability > 0) likely = target
  }
  return likely // rounding left a crumb of the sum
}
