import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { probeSteps, ratesToProbe } from '#core/training/learning-rates.ts'
import { rateFactor } from '#core/training/schedule.ts'
import { tinyConfig } from '#test/fakes/model-handle.ts'

const steps = (count: number) => Array.from({ length: count }, (_, step) => step)

describe('the learning rate', () => {
  it('rises over the warm-up, then falls along its schedule', () => {
    const linear = steps(10).map((step) => rateFactor(step, { steps: 10, warmup: 0.2, schedule: 'linear' }))
    expect(linear.map((factor) => Number(factor.toFixed(3)))).toEqual([
      0.333, 0.667, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125,
    ])
    const constant = steps(4).map((step) => rateFactor(step, { steps: 4, warmup: 0, schedule: 'constant' }))
    expect(constant).toEqual([1, 1, 1, 1])
    const cosine = steps(4).map((step) => rateFactor(step, { steps: 4, warmup: 0, schedule: 'cosine' }))
    expect(cosine.map((factor) => Number(factor.toFixed(3)))).toEqual([1, 0.854, 0.5, 0.146])
  })

  it('is above 0 and at most the highest at every step of every schedule', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom('linear', 'cosine', 'constant'),
        (count, warmup, schedule) => {
          const factors = steps(count).map((step) => rateFactor(step, { steps: count, warmup, schedule }))
          expect(factors.every((factor) => factor > 0 && factor <= 1)).toBe(true)
        },
      ),
    )
  })

  it('is tried in a place that suits what is trained: masks far above everything, narrow models above wide ones', () => {
    const narrow = tinyConfig({ hiddenSize: 128 })
    const [, dense = 0] = ratesToProbe('full', 1, narrow)
    const [, half = 0] = ratesToProbe('fish', 0.005, narrow)
    const [, two = 0] = ratesToProbe('fish', 0.02, narrow)
    expect(dense).toBe(2e-3)
    expect(half / dense).toBeCloseTo(10, 0)
    expect(two / dense).toBeCloseTo(5, 0)
    expect(ratesToProbe('random', 0.005, narrow)[1]).toBeCloseTo(2 * half, 2)
    expect(ratesToProbe('fish', 1e-6, narrow)[1]).toBeCloseTo(20 * dense, 4)
    expect(ratesToProbe('full', 1, tinyConfig({ hiddenSize: 1024 }))[1]).toBeCloseTo(dense / 8, 4)
    expect(ratesToProbe('ia3', 1e-4, narrow)).toEqual(ratesToProbe('ia3', 1e-4, tinyConfig({ hiddenSize: 1024 })))
    for (const rates of [ratesToProbe('full', 1, narrow), ratesToProbe('ia3', 1, narrow)]) {
      expect(rates).toEqual(rates.toSorted((a, b) => a - b))
    }
  })

  it('is tried for a small part of the run, never longer than it', () => {
    expect([5, 60, 120, 2_000].map(probeSteps)).toEqual([5, 12, 20, 40])
  })
})
