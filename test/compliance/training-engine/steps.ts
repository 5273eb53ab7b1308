/** What a step's gradient is divided by, how long it may be, and what happens when it is none. */
import { describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import type { OptimizerStep, Trainee, TrainingExample } from '#core/ports/training-engine.ts'
import {
  adam,
  allValues,
  copyOf,
  entries,
  ragged,
  scaleOf,
  smallConfig,
  type TrainingUnderTest,
  tensor,
} from './inputs.ts'

const parameters = [tensor(tensorNames.finalNorm), entries(tensorNames.block(1).up, [1, 7, 300]), scaleOf(0)]

export function describeSteps({ load, expectClose, tolerance }: TrainingUnderTest): void {
  /** What one step of SGD at rate 1 took from each value. */
  async function taken(trainee: Trainee, batch: readonly TrainingExample[], step: Partial<OptimizerStep>) {
    const before = await allValues(trainee)
    const result = await trainee.step(batch, { ...step, kind: 'sgd', learningRate: 1 })
    const after = await allValues(trainee)
    const joined = before.flatMap((values, i) => Array.from(values, (value, k) => value - (after[i]?.[k] as number)))
    return { ...result, joined }
  }

  describe('the gradient of a step', () => {
    it('is divided by the weights’ sum or by what is said, and its length is told', async () => {
      for (const [step, factor] of [
        [{}, 1 / 16.5],
        [{ gradientScale: 0.5 }, 0.5 / 16.5],
        [{ divisor: 4 }, 1 / 4],
        [{ divisor: 4, gradientScale: -0.5 }, -0.5 / 4],
      ] as const) {
        const trainee = await load(smallConfig({}), parameters)
        const { gradients, weightSum } = copyOf(await trainee.gradients(ragged))
        expect(weightSum).toBe(16.5)
        const expected = gradients.flatMap((gradient) => Array.from(gradient, (g) => g * factor))
        const { joined, gradientNorm } = await taken(trainee, ragged, step)
        expectDifference(joined, expected)
        expect(gradientNorm / Math.hypot(...expected)).toBeCloseTo(1, 5)
      }
    })

    it('is shortened to the longest that is allowed, over all parameters together, and no shorter one is', async () => {
      const trainee = await load(smallConfig({}), parameters)
      const { gradients } = copyOf(await trainee.gradients(ragged))
      const mean = gradients.flatMap((gradient) => Array.from(gradient, (g) => g / 16.5))
      const length = Math.hypot(...mean)
      const saved = await allValues(trainee)
      for (const share of [0.25, 1.5]) {
        for (const [i, values] of saved.entries()) await trainee.setValues(i, values)
        const { joined, gradientNorm } = await taken(trainee, ragged, { maximumNorm: share * length })
        expect(gradientNorm / length).toBeCloseTo(1, 5)
        expectDifference(
          joined,
          mean.map((g) => g * Math.min(1, share)),
        )
      }
    })

    it('of weights of either sign needs a divisor where they come to less than nothing', async () => {
      const trainee = await load(smallConfig({}), parameters)
      const before = await allValues(trainee)
      const weighted = (...weights: number[]) => [{ tokens: [1, 2, 3], targetWeights: Float32Array.from(weights) }]
      await expect(trainee.step(weighted(1, -3), adam)).rejects.toThrow(RangeError)
      expect(await trainee.step(weighted(1, -1), adam)).toMatchObject({ weightSum: 0, gradientNorm: 0 })
      expect(await allValues(trainee)).toEqual(before)
      const { gradients } = copyOf(await trainee.gradients(weighted(1, -1)))
      const { joined } = await taken(trainee, weighted(1, -1), { divisor: 2 })
      expectDifference(
        joined,
        gradients.flatMap((gradient) => Array.from(gradient, (g) => g / 2)),
      )
    })

    it('cannot be divided by what is not positive, nor be shorter than nothing', async () => {
      const trainee = await load(smallConfig({}), parameters)
      const before = await allValues(trainee)
      for (const step of [{ divisor: 0 }, { divisor: -1 }, { divisor: Number.NaN }, { maximumNorm: 0 }] as const) {
        await expect(trainee.step(ragged, { ...adam, ...step })).rejects.toThrow(RangeError)
      }
      expect(await allValues(trainee)).toEqual(before)
    })

    it('that is not finite changes nothing, the optimizer’s state neither', async () => {
      const trainee = await load(smallConfig({}), parameters)
      await trainee.step(ragged, adam)
      const gain = await trainee.values(0)
      await trainee.setValues(
        0,
        gain.map(() => Number.NaN),
      ) // everything that comes of it is none
      const [before, state] = [await allValues(trainee), structuredClone(await trainee.exportOptimizer())]
      const { gradientNorm } = await trainee.step(ragged, adam)
      expect(Number.isFinite(gradientNorm)).toBe(false)
      expect(await allValues(trainee)).toEqual(before)
      expect(await trainee.exportOptimizer()).toEqual(state)
      await trainee.setValues(0, gain)
      expect(Number.isFinite((await trainee.step(ragged, adam)).gradientNorm)).toBe(true)
    })
  })

  describe('an interrupted run', () => {
    for (const threads of [1, 2]) {
      it(`goes on in a new trainee with the same bits, on ${threads} ${threads > 1 ? 'threads' : 'thread'}`, async () => {
        const config = smallConfig({ hiddenSize: 64, intermediateSize: 128 })
        const masks = [
          entries(tensorNames.embedding, everyThird(40 * 64)),
          entries(tensorNames.block(0).gate, everyThird(128 * 64)),
          tensor(tensorNames.block(1).query),
          scaleOf(1),
        ]
        const steps = Array.from({ length: 6 }, (_, i) => ({ ...adam, learningRate: 1e-2 / (i + 1), maximumNorm: 0.5 }))
        const straight = await load(config, masks, { threads })
        const told = []
        for (const step of steps) told.push(await straight.step(ragged, step))
        let trainee = await load(config, masks, { threads })
        const again = []
        for (const step of steps) {
          again.push(await trainee.step(ragged, step))
          const next = await load(config, masks, { threads })
          for (const [i, values] of (await allValues(trainee)).entries()) await next.setValues(i, values)
          await next.importOptimizer(structuredClone(await trainee.exportOptimizer()))
          trainee = next
        }
        expect(again).toEqual(told)
        expect(await allValues(trainee)).toEqual(await allValues(straight))
        expect(await trainee.exportOptimizer()).toEqual(await straight.exportOptimizer())
      })
    }
  })

  /** Differences of float32 values near 1 have lost some of their digits. */
  function expectDifference(actual: readonly number[], expected: readonly number[]): void {
    const largest = Math.max(...expected.map(Math.abs))
    for (const [i, value] of expected.entries()) {
      expect(Math.abs((actual[i] as number) - value)).toBeLessThan(tolerance * largest + 2.5e-7)
    }
    expectClose([actual.length], [expected.length])
  }
}

function everyThird(length: number): number[] {
  return Array.from({ length: Math.floor(length / 3) }, (_, i) => 3 * i)
}
