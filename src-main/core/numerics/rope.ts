/**
 * Rotary positions (Su et al. 2021, RoFormer, eq. 34): each pair of a head's elements is turned by an angle that grows
 * with the position. Which elements make a pair is a convention of the file the weights came from.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { at } from './floats.ts'

export type RopeShape = Pick<ModelConfig, 'headSize' | 'ropeStyle' | 'ropeTheta'>

/** θᵢ = ropeTheta^(-2i / headSize) radians a position. -> (headSize / 2,) */
export function ropeFrequencies({ headSize, ropeTheta }: RopeShape): Float64Array {
  return Float64Array.from({ length: headSize / 2 }, (_, i) => ropeTheta ** ((-2 * i) / headSize))
}

/** Turns `x`: (tokens, heads, headSize) in place; its first token stands at `position`. */
export function applyRope(x: Float64Array, position: number, shape: RopeShape, heads: number): void {
  const frequencies = ropeFrequencies(shape)
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
