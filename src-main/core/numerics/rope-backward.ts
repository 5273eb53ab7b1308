import { applyRope, type RopeShape } from './rope.ts'

/**
 * Reverse mode of `applyRope`: a rotation's transpose is the rotation by the opposite angle, R(θ)ᵀ = R(-θ). Turns the
 * gradient `x`: (tokens, heads, headSize) back in place; its first token stands at `position`.
 */
export function ropeBackward(x: Float64Array, position: number, shape: RopeShape, heads: number): void {
  const width = heads * shape.headSize
  for (let start = 0; start < x.length; start += width) {
    applyRope(x.subarray(start, start + width), -(position + start / width), shape, heads)
  }
}
