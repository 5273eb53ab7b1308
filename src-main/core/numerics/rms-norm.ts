import { at, dot, type Floats } from './floats.ts'

/**
 * x / rms(x) ⊙ gain, with rms(x) = √(mean(x²) + ε) (Zhang & Sennrich 2019, eq. 4).
 * `x`: (tokens, hiddenSize), `gain`: (hiddenSize,) -> (tokens, hiddenSize)
 */
export function rmsNorm(x: Floats, gain: Floats, epsilon: number): Float64Array {
  const size = gain.length
  const y = new Float64Array(x.length)
  for (let start = 0; start < x.length; start += size) {
    const scale = 1 / Math.sqrt(dot(x, start, x, start, size) / size + epsilon)
    for (let i = 0; i < size; i++) y[start + i] = at(x, start + i) * scale * at(gain, i)
  }
  return y
}
