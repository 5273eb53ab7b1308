import { expect, it } from 'vitest'
import { rmsNorm } from '#core/numerics/rms-norm.ts'

it('divides each row by its root mean square and multiplies by the gain', () => {
  const [a, b, c, d] = rmsNorm(Float32Array.of(3, 4, 0, 5), Float32Array.of(1, 2), 0)
  expect(a).toBeCloseTo(3 / Math.sqrt(12.5), 12)
  expect(b).toBeCloseTo(8 / Math.sqrt(12.5), 12)
  expect(c).toBe(0)
  expect(d).toBeCloseTo(2 * Math.SQRT2, 12)
})

it('gives zeros for zeros, thanks to epsilon', () => {
  expect([...rmsNorm(new Float32Array(3), Float32Array.of(1, 1, 1), 1e-5)]).toEqual([0, 0, 0])
})
