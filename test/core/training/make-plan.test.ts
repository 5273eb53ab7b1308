import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runPlanSchema } from '#contracts/api/training.ts'
import { encodeValues } from '#contracts/patch-file/value-codec.ts'
import { PatchMismatchError } from '#core/errors.ts'
import { defaultSequenceLength, makePlan } from '#core/training/make-plan.ts'
import { modelParameterCount } from '#core/training/mask.ts'
import type { PlanInput } from '#core/training/plan-types.ts'
import { subsetBits } from '#core/training/predict-bytes.ts'
import { operationsPerSecond } from '#core/training/predict-seconds.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { dataCard, type PlanChanges, planInput, runTiny, smallConfig, tinyPlan } from './tiny-run.ts'

const machine = { threads: 2, memoryLimitBytes: null, operationsPerSecond: null }
const plan = (changes: PlanChanges = {}, input: Partial<PlanInput> = {}) => makePlan(planInput(changes, input))
const examples = (trainingExamples: number) => ({ data: { ...dataCard, trainingExamples } })

describe('a plan', () => {
  it('fills in what was left open, and fits its schema', () => {
    const made = plan()
    expect(runPlanSchema.parse(made)).toEqual(made)
    expect(made.mask).toEqual({
      keepRatio: 0.005,
      quota: 'joint',
      scope: 'all',
      head: 'in-budget',
      fisher: { kind: 'empirical', examples: 256, trialSteps: 60 },
    })
    expect(made.hyperParameters).toMatchObject({ batchSize: 8, sequenceLength: 32, learningRate: null, weightDecay: 0 })
    expect(made.hyperParameters).toMatchObject({ schedule: 'linear', warmup: 0.06, maximumNorm: 1, protectedShare: 0 })
    expect(made.trainedParameters).toBe(Math.round(0.005 * modelParameterCount(smallConfig)))
    expect(made.obstacles).toEqual([])
  })

  it('keeps what was asked for', () => {
    const mask = { keepRatio: 0.02, quota: 'per-tensor', scope: 'blocks' } as const
    const hyperParameters = { steps: 7, batchSize: 2, learningRate: 0.1, maximumNorm: null, seed: 5 }
    const made = plan({ mask, hyperParameters, protection: { kind: 'own-text', share: 0.25 } })
    expect(made.mask).toMatchObject(mask)
    expect(made.hyperParameters).toMatchObject({ ...hyperParameters, protectedShare: 0.25 })
  })

  it('goes three times through the data, never too short nor too long', () => {
    const steps = (count: number, changes: PlanChanges = {}) => plan(changes, examples(count)).hyperParameters.steps
    expect([1, 400, 1_000_000].map((count) => steps(count))).toEqual([60, 150, 2_000])
    expect(steps(400, { protection: { kind: 'own-text', share: 0.5 } })).toBe(300)
  })

  it('has a mask for methods that choose one, and the Fisher only where it chooses', () => {
    expect(
      plan({ method: 'random', mask: { fisher: { kind: 'true', examples: 9, trialSteps: 0 } } }).mask?.fisher,
    ).toBeNull()
    expect(plan({ method: 'magnitude' }).mask?.fisher).toBeNull()
    expect(plan({ method: 'ia3' }).mask).toBeNull()
    expect(plan({ method: 'full' })).toMatchObject({ mask: null, trainedParameters: modelParameterCount(smallConfig) })
  })

  it('says how many numbers a run will train, as the run does', async () => {
    for (const method of ['fish', 'random', 'ia3', 'full'] as const) {
      const made = tinyPlan({ method, hyperParameters: { steps: 1, learningRate: 0.01 } })
      expect((await runTiny(made)).outcome.record.trainedParameters).toBe(made.trainedParameters)
    }
  })

  it('names what stands in its way', () => {
    const tooLarge = plan({}, { machine: { ...machine, memoryLimitBytes: 1e6 } })
    expect(tooLarge.obstacles).toEqual([
      { code: 'budget-exceeded', params: { neededBytes: tooLarge.predicted.memoryBytes, limitBytes: 1e6 } },
    ])
    const own = { machine: { ...machine, memoryLimitBytes: 1e12 } }
    expect(plan({ limits: { memoryBytes: 5 } }, own).obstacles).toMatchObject([{ params: { limitBytes: 5 } }])
    expect(plan({}, examples(0)).obstacles).toMatchObject([{ code: 'data-format' }])
    const sharedMask = [{ tensor: 'model.norm.weight', entries: 3 }]
    expect(plan({ method: 'ia3' }, { sharedMask }).obstacles).toMatchObject([{ code: 'invalid-input' }])
    expect(plan({ hyperParameters: { sequenceLength: 900 } }).obstacles).toMatchObject([{ code: 'context-too-long' }])
    const strange = [{ tensor: 'nothing', entries: 3 }]
    expect(() => plan({}, { sharedMask: strange })).toThrow(PatchMismatchError)
  })

  it('asks for text in windows of half the context, within reason', () => {
    const lengths = [4, 12, 256, 512, 8192].map((contextLength) => defaultSequenceLength({ contextLength }))
    expect(lengths).toEqual([4, 8, 128, 256, 256])
  })
})

describe('a prediction', () => {
  const medium = randomModel(tinyConfig({ hiddenSize: 64, intermediateSize: 160, vocabularySize: 300 }), 1).manifest

  it('of the patch is near the bound for masks without structure, and what values take', () => {
    const { predicted, trainedParameters } = plan({ mask: { keepRatio: 0.005 } }, { base: medium })
    const size = modelParameterCount(medium.config)
    const values = encodeValues(new Float32Array(trainedParameters), 'int8').length
    const atLeast = subsetBits(size, trainedParameters) / 8 + values
    expect(predicted.patchBytes).toBeGreaterThan(atLeast)
    expect(predicted.patchBytes).toBeLessThan(atLeast + 20_000)
    const sharedMask = [{ tensor: 'model.embed_tokens.weight', entries: 100 }]
    const shared = plan({ valueFormat: 'float32' }, { base: medium, sharedMask }).predicted.patchBytes
    expect(shared).toBe(3 * 1024 + 320 + 400)
  })

  it('of index bits is log2 of the number of subsets', () => {
    const logFactorial = (n: number) => Array.from({ length: n }, (_, i) => Math.log2(i + 1)).reduce((a, b) => a + b, 0)
    fc.assert(
      fc.property(fc.integer({ min: 20, max: 3000 }), fc.double({ min: 0.01, max: 0.99, noNaN: true }), (n, share) => {
        const k = Math.max(1, Math.min(n - 1, Math.round(share * n)))
        const exact = logFactorial(n) - logFactorial(k) - logFactorial(n - k)
        expect(Math.abs(subsetBits(n, k) - exact)).toBeLessThan(0.2)
      }),
    )
    expect([subsetBits(10, 0), subsetBits(10, 10)]).toEqual([0, 0])
  })

  it('of memory grows with what is trained, and counts the scores of a FISH mask', () => {
    const large = randomModel(tinyConfig({ hiddenSize: 256, intermediateSize: 512, vocabularySize: 2000 }), 1).manifest
    const bytes = (changes: PlanChanges) => plan(changes, { base: large }).predicted.memoryBytes
    expect(bytes({ method: 'random' })).toBeLessThan(bytes({ method: 'fish' }))
    expect(bytes({ method: 'fish' })).toBeLessThan(bytes({ method: 'full' }))
    expect(bytes({ hyperParameters: { batchSize: 1 } })).toBeLessThan(bytes({ hyperParameters: { batchSize: 32 } }))
  })

  it('of time follows the speed that was measured, and is not made up without one', () => {
    expect(plan().predicted.seconds).toBeNull()
    const seconds = (changes: PlanChanges, speed: number) =>
      plan(changes, { machine: { ...machine, operationsPerSecond: speed } }).predicted.seconds ?? Number.NaN
    expect(seconds({}, 1e9)).toBeCloseTo(seconds({}, 2e9) * 2)
    expect(seconds({ method: 'ia3' }, 1e9)).toBeLessThan(seconds({ method: 'full' }, 1e9))
    expect(seconds({ hyperParameters: { learningRate: 0.1 } }, 1e9)).toBeLessThan(seconds({}, 1e9))
    const measured = operationsPerSecond('full', smallConfig, 1000)
    const hyperParameters = { learningRate: 0.1, steps: 1000 }
    const { data } = examples(24)
    const expected = (1000 * 8 * data.trainingTokens) / data.trainingExamples / 1000
    expect(seconds({ method: 'full', hyperParameters }, measured) / expected).toBeGreaterThan(1)
    expect(seconds({ method: 'full', hyperParameters }, measured) / expected).toBeLessThan(1.1)
  })
})
