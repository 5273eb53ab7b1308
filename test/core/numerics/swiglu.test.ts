import { expect, it } from 'vitest'
import { silu, swiglu } from '#core/numerics/swiglu.ts'

it('silu is z times its sigmoid', () => {
  expect(silu(0)).toBe(0)
  expect(silu(1)).toBeCloseTo(1 / (1 + Math.exp(-1)), 15)
  expect(silu(-1000)).toBeCloseTo(0, 15)
})

it('gates the up projection before projecting down', () => {
  // hidden 1, intermediate 2
  const weights = { gate: Float32Array.of(1, -1), up: Float32Array.of(2, 3), down: Float32Array.of(10, 100) }
  const [y] = swiglu(Float32Array.of(2), weights, 1)
  expect(y).toBeCloseTo(10 * silu(2) * 4 + 100 * silu(-2) * 6, 12)
})
