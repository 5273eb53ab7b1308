import { describe, expect, it } from 'vitest'
import { pairedGain } from '#core/training/bootstrap.ts'
import { splitHeldOut, splitSizes } from '#core/training/held-out.ts'
import { type ItemLoss, meanLoss } from '#core/training/items.ts'
import { lostShare, metricsOf } from '#core/training/metrics.ts'
import { createRandom } from '#test/fakes/model-handle.ts'

const text = (loss: number, weight: number): ItemLoss => ({ loss, weight, right: null })
const question = (loss: number, right: boolean): ItemLoss => ({ loss, weight: 1, right })

/** Roughly normal, mean 0, deviation 1: the sum of twelve uniform numbers. */
function normal(random: () => number): number {
  return Array.from({ length: 12 }, random).reduce((sum, value) => sum + value / 2, 0)
}

describe('a gain', () => {
  it('is that of the sums, in the direction that is better', () => {
    const pairs = [
      { before: 10, after: 6, weight: 4 },
      { before: 20, after: 18, weight: 6 },
    ]
    expect(pairedGain(pairs, { better: 'lower', seed: 1 })).toMatchObject({ before: 3, after: 2.4, items: 2 })
    expect(pairedGain(pairs, { better: 'lower', seed: 1 })?.gain.mean).toBeCloseTo(0.6)
    expect(pairedGain(pairs, { better: 'higher', seed: 1 })?.gain.mean).toBeCloseTo(-0.6)
    expect(pairedGain([], { better: 'lower', seed: 1 })).toBeNull()
  })

  it('has an interval that holds the truth about 95 times in 100, and narrows as pairs agree', () => {
    const random = createRandom(1)
    let held = 0
    for (let trial = 0; trial < 200; trial++) {
      const pairs = Array.from({ length: 60 }, () => {
        const hard = 4 + normal(random)
        return { before: hard, after: hard - 0.3 - 0.5 * normal(random), weight: 1 }
      })
      const gain = pairedGain(pairs, { better: 'lower', seed: trial, resamples: 400 })?.gain
      if (gain && gain.low <= 0.3 && gain.high >= 0.3) held++
      // Unpaired, two means of deviation 1 would give an interval about 0.7 wide.
      expect((gain?.high ?? 9) - (gain?.low ?? 0)).toBeLessThan(0.4)
    }
    expect(held).toBeGreaterThan(178)
    expect(held).toBeLessThan(200)
  })

  it('has the same interval for the same seed', () => {
    const pairs = [1, 2, 3, 4].map((i) => ({ before: i, after: i * 0.9, weight: 1 }))
    expect(pairedGain(pairs, { better: 'lower', seed: 3 })).toEqual(pairedGain(pairs, { better: 'lower', seed: 3 }))
  })
})

describe('metrics', () => {
  it('tell the loss on the base beside the gain, and nothing that was not measured', () => {
    const before = { heldOut: [text(8, 4), text(6, 2)], baseText: [text(3, 3)] }
    const after = { heldOut: [text(4, 4), text(5, 2)], baseText: [text(6, 3)] }
    const metrics = metricsOf(before, after, 1)
    expect(metrics.map(({ name, unit }) => [name, unit])).toEqual([
      ['held-out-loss', 'nats/token'],
      ['base-text-loss', 'nats/token'],
    ])
    expect(metrics[0]?.gain.mean).toBeCloseTo(5 / 6)
    expect(metrics[1]?.gain).toEqual({ mean: -1, low: -1, high: -1 })
    expect(metricsOf({ heldOut: [], baseText: [] }, { heldOut: [], baseText: [] }, 1)).toEqual([])
  })

  it('tell how many questions are answered right', () => {
    const before = { heldOut: [question(2, false), question(2, true)], baseText: [] }
    const after = { heldOut: [question(1, true), question(1, true)], baseText: [] }
    const [loss, accuracy] = metricsOf(before, after, 1)
    expect(loss).toMatchObject({ unit: 'nats/question', before: 2, after: 1 })
    expect(accuracy).toMatchObject({ name: 'held-out-accuracy', before: 0.5, after: 1, items: 2 })
  })

  it('say which share of the gain rounding took, where there was a gain', () => {
    expect(lostShare([text(10, 1)], [text(6, 1)], [text(6.2, 1)])).toBeCloseTo(0.05)
    expect(lostShare([text(10, 1)], [text(11, 1)], [text(11, 1)])).toBeNull()
    expect(meanLoss([text(3, 2), text(5, 2)])).toBe(2)
    expect(meanLoss([])).toBeNull()
  })
})

describe('held-out examples', () => {
  const items = (count: number) => Array.from({ length: count }, (_, i) => i)

  it('that choose are not those that judge, once there are enough', () => {
    for (const count of [16, 17, 100, 300, 1000]) {
      const { validation, test } = splitHeldOut(items(count))
      const used = new Set([...validation, ...test])
      expect(used.size).toBe(validation.length + test.length)
      expect(used.size).toBe(Math.min(count, 64 + 256))
      expect({ validation: validation.length, test: test.length }).toEqual(splitSizes(count))
      expect(validation.length).toBe(Math.min(64, Math.floor(count / 2)))
    }
    const { validation, test } = splitHeldOut(items(1000))
    expect(validation.slice(0, 3)).toEqual([15, 31, 46])
    expect(test.at(-1)).toBeGreaterThan(990)
  })

  it('do both when they are few', () => {
    expect(splitHeldOut(items(5))).toEqual({ validation: items(5), test: items(5) })
  })
})
