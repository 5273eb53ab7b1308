/**
 * Rotary positions (Su et al. 2021, RoFormer, eq. 34): each pair of a head's elements is turned by an angle that grows
 * with the position. Which elements make a pair is a convention of the file the weights came from. A model that was
 * taught longer contexts later turns some pairs more slowly than it did at first.
 */
import type { ModelConfig, RopeScaling } from '#contracts/model/manifest.ts'
import { at } from './floats.ts'

export type RopeShape = Pick<ModelConfig, 'headSize' | 'ropeStyle' | 'ropeTheta' | 'ropeScaling'>

/** How far each pair turns from one position to the next, in radians, scaling included. -> (headSize / 2,) */
export function rotaryFrequencies({ headSize, ropeTheta, ropeScaling }: Omit<RopeShape, 'ropeStyle'>): Float64Array {
  return Float64Array.from({ length: headSize / 2 }, (_, i) => {
    const frequency = ropeTheta ** ((-2 * i) / headSize) // θᵢ of the paper
    return ropeScaling === undefined ? frequency : scaledFrequency(frequency, ropeScaling)
  })
}

function scaledFrequency(frequency: number, scaling: RopeScaling): number {
  switch (scaling.kind) {
    case 'linear':
      return frequency / scaling.factor // positions interpolated (Chen et al. 2023, eq. 4)
    case 'llama3':
      return llama3Frequency(frequency, scaling)
  }
}

/**
 * Llama 3.1: pairs that turn fewer than `lowFrequencyFactor` times within the original context are slowed by `factor`,
 * those that turn more than `highFrequencyFactor` times are kept, and in between the two are mixed in proportion
 * (Meta's llama-models, `apply_scaling`; transformers, `_compute_llama3_parameters`).
 */
function llama3Frequency(frequency: number, scaling: Extract<RopeScaling, { kind: 'llama3' }>): number {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContextLength } = scaling
  const turns = (originalContextLength * frequency) / (2 * Math.PI)
  if (turns < low) return frequency / factor
  if (turns > high) return frequency
  const kept = (turns - low) / (high - low)
  return (1 - kept) * (frequency / factor) + kept * frequency
}

/** Turns `x`: (tokens, heads, headSize) in place; its first token stands at `position`. */
export function applyRope(x: Float64Array, position: number, shape: RopeShape, heads: number): void {
  const frequencies = rotaryFrequencies(shape)
  const rows = x.length / shape.headSize // (tokens, heads)
  for (let row = 0; row < rows; row++) {
    rotateHead(x, row * shape.headSize, position + Math.floor(row / heads), shape, frequencies)
  }
}

function rotateHead(x: Float64Array, start: number, position: number, shape: RopeShape, frequencies: Float64Array) {
  for (let i = 0; i < frequencies.length; i++) {
    const [first, second] = pair(i, shape)
    const a = at(x, start + first)
    const b = at(x, start + second)
    const cos = Math.cos(position * at(frequencies, i))
    const sin = Math.sin(position * at(frequencies, i))
    x[start + first] = a * cos - b * sin
    x[start + second] = a * sin + b * cos
  }
}

/** The elements of a head that make its i-th pair. */
function pair(i: number, { ropeStyle, headSize }: RopeShape): readonly [number, number] {
  return ropeStyle === 'half' ? [i, i + headSize / 2] : [2 * i, 2 * i + 1]
}
