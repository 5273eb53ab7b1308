import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createBatches } from '#core/training/batches.ts'

const init = { count: 10, baseCount: 4, batchSize: 4, protectedShare: 0, seed: 1 }

describe('batches', () => {
  it('are a function of the seed and the step, in whatever order steps are asked for', () => {
    const inOrder = createBatches(init)
    const all = Array.from({ length: 20 }, (_, step) => inOrder(step))
    const backwards = createBatches(init)
    expect(Array.from({ length: 20 }, (_, i) => backwards(19 - i)).reverse()).toEqual(all)
    const other = createBatches({ ...init, seed: 2 })
    expect(Array.from({ length: 20 }, (_, step) => other(step))).not.toEqual(all)
  })

  it('go through all of the data before anything comes again, each time in another order', () => {
    const batches = createBatches(init)
    const dealt = Array.from({ length: 5 }, (_, step) => batches(step).own).flat()
    const [first, second] = [dealt.slice(0, 10), dealt.slice(10)]
    for (const epoch of [first, second]) expect(epoch.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(second).not.toEqual(first)
  })

  it('are filled from a few examples as often as it takes', () => {
    const { own } = createBatches({ ...init, count: 1, batchSize: 3 })(7)
    expect(own).toEqual([0, 0, 0])
  })

  it('have the share of base text that was asked for, over the steps', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 16 }), fc.double({ min: 0, max: 0.9, noNaN: true }), (batchSize, share) => {
        const batches = createBatches({ ...init, batchSize, protectedShare: share })
        const dealt = Array.from({ length: 25 }, (_, step) => batches(step))
        expect(dealt.every(({ own, base }) => own.length + base.length === batchSize)).toBe(true)
        const base = dealt.reduce((sum, batch) => sum + batch.base.length, 0)
        expect(Math.abs(base - 25 * batchSize * share)).toBeLessThan(1 + 1e-6)
      }),
    )
    expect(createBatches({ ...init, protectedShare: 0.5, baseCount: 0 })(0).own.length).toBe(4)
  })
})
