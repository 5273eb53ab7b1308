import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { logSoftmax, negativeLogLikelihood, softmax } from '#core/numerics/softmax.ts'

describe('softmax', () => {
  it('is positive, sums to one and ignores a shift, also for large values', () => {
    const values = fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(values, fc.double({ min: -1e5, max: 1e5, noNaN: true }), (x, shift) => {
        const p = softmax(Float64Array.from(x))
        const shifted = softmax(Float64Array.from(x, (value) => value + shift))
        expect(p.every((value) => value > 0)).toBe(true)
        expect(p.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 9)
        for (const [i, value] of p.entries()) expect(shifted[i]).toBeCloseTo(value, 8)
      }),
      { numRuns: 100 },
    )
  })

  it('has its logarithm computed without leaving the range', () => {
    expect([...logSoftmax(Float32Array.of(0, -2000))]).toEqual([0, -2000])
  })
})

describe('negativeLogLikelihood', () => {
  it('sums over rows', () => {
    const logits = Float64Array.of(0, 0, Math.log(3), 0)
    expect(negativeLogLikelihood(logits, [0, 1])).toBeCloseTo(Math.log(2) + Math.log(4), 12)
  })

  it('refuses a target outside the vocabulary', () => {
    expect(() => negativeLogLikelihood(Float64Array.of(0, 0), [2])).toThrow(RangeError)
  })
})
