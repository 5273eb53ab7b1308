import { at, dot, type Floats } from './floats.ts'

export interface RmsNormGradients {
  readonly input: Float64Array // (tokens, size)
  readonly gain: Float64Array // (size,)
}

/**
 * Reverse mode of `rmsNorm`: y = g ⊙ x r with r = (mean(x²) + ε)^(-1/2), whose derivative is ∂r/∂xⱼ = -r³ xⱼ / n. So
 *   dx = r (g ⊙ dy) - x r³ / n · ⟨g ⊙ dy, x⟩   and   dg = Σₜ dy ⊙ x r.
 * `x`, `outputGradient`: (tokens, size), `gain`: (size,)
 */
export function rmsNormBackward(outputGradient: Floats, x: Floats, gain: Floats, epsilon: number): RmsNormGradients {
  const n = gain.length
  const input = new Float64Array(x.length)
  const gainGradient = new Float64Array(n)
  for (let start = 0; start < x.length; start += n) {
    const r = 1 / Math.sqrt(dot(x, start, x, start, n) / n + epsilon)
    let along = 0 // ⟨g ⊙ dy, x⟩
    for (let i = 0; i < n; i++) along += at(gain, i) * at(outputGradient, start + i) * at(x, start + i)
    for (let i = 0; i < n; i++) {
      const dy = at(outputGradient, start + i)
      input[start + i] = r * at(gain, i) * dy - (at(x, start + i) * r ** 3 * along) / n
      gainGradient[i] = at(gainGradient, i) + dy * at(x, start + i) * r
    }
  }
  return { input, gain: gainGradient }
}
