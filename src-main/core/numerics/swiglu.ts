import { at, type Floats } from './floats.ts'
import { linear } from './linear.ts'

export interface SwigluWeights {
  readonly gate: Floats // (intermediate, hidden)
  readonly up: Floats // (intermediate, hidden)
  readonly down: Floats // (hidden, intermediate)
}

/** (silu(x gateᵀ) ⊙ x upᵀ) downᵀ (Shazeer 2020, eq. 6). `x`: (tokens, hiddenSize) -> the same shape */
export function swiglu(x: Floats, weights: SwigluWeights, hiddenSize: number): Float64Array {
  const intermediateSize = weights.gate.length / hiddenSize
  const gate = linear(x, weights.gate, hiddenSize) // (tokens, intermediate)
  const up = linear(x, weights.up, hiddenSize) // (tokens, intermediate)
  const gated = gate.map((value, i) => silu(value) * at(up, i))
  return linear(gated, weights.down, intermediateSize)
}

/** z σ(z) */
export function silu(z: number): number {
  return z / (1 + Math.exp(-z))
}
