import { at, type Floats } from './floats.ts'
import { silu } from './swiglu.ts'

/** silu′(z) = σ(z) (1 + z (1 - σ(z))) */
export function siluDerivative(z: number): number {
  const sigmoid = 1 / (1 + Math.exp(-z))
  return sigmoid * (1 + z * (1 - sigmoid))
}

/**
 * Reverse mode of a = silu(gate) ⊙ up, element by element:
 *   dgate = da ⊙ up ⊙ silu′(gate),   dup = da ⊙ silu(gate).
 */
export function gatedBackward(
  outputGradient: Floats,
  gate: Floats,
  up: Floats,
): { readonly gate: Float64Array; readonly up: Float64Array } {
  return {
    gate: Float64Array.from(gate, (z, i) => at(outputGradient, i) * at(up, i) * siluDerivative(z)),
    up: Float64Array.from(gate, (z, i) => at(outputGradient, i) * silu(z)),
  }
}
