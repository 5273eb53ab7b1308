import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { linear } from '#core/numerics/linear.ts'
import { addEntries, addRowEntries, addSparseLinear, lowerBound } from '#core/numerics/sparse.ts'
import { randomVector } from './differences.ts'
import { relativeError } from './relative-error.ts'

/** Some entries of a (5, 4) matrix, none or all among the cases. */
const entries = fc
  .subarray(Array.from({ length: 20 }, (_, i) => i))
  .map((kept) => ({ indices: Uint32Array.from(kept), values: randomVector(kept.length, 1) }))

describe('a sparse matrix', () => {
  it('added to weights, to a product or to a row comes to the same', () => {
    fc.assert(
      fc.property(entries, (delta) => {
        const [weight, x] = [randomVector(20, 2), randomVector(3 * 4, 3)]
        const merged = addEntries(weight, delta)
        const y = linear(x, weight, 4)
        addSparseLinear(y, x, delta, { inputSize: 4, outputSize: 5 })
        expect(relativeError(y, linear(x, merged, 4))).toBeLessThan(1e-14)
        for (let r = 0; r < 5; r++) {
          const row = weight.slice(r * 4, (r + 1) * 4)
          addRowEntries(row, delta, r)
          expect(row).toEqual(merged.slice(r * 4, (r + 1) * 4))
        }
      }),
    )
  })

  it('leaves the weights it is added to alone', () => {
    const weight = Float32Array.of(1, 2)
    expect([...addEntries(weight, { indices: Uint32Array.of(1), values: Float32Array.of(5) })]).toEqual([1, 7])
    expect([...weight]).toEqual([1, 2])
  })
})

describe('lowerBound', () => {
  it('counts what is below', () => {
    const sorted = fc.uniqueArray(fc.nat(50)).map((values) => Uint32Array.from(values).sort())
    fc.assert(
      fc.property(sorted, fc.nat(60), (indices, bound) => {
        expect(lowerBound(indices, bound)).toBe(indices.filter((index) => index < bound).length)
      }),
    )
  })
})
