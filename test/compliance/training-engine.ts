/**
 * What every training engine promises, with `core/numerics` in float64 as the oracle: its gradients, and, so that both cannot
 * be wrong together, central differences of its loss.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { ContextTooLongError, PatchMismatchError } from '#core/errors.ts'
import { elementCount, expectedTensors } from '#core/models/expected-tensors.ts'
import { lossGradients } from '#core/numerics/model-backward.ts'
import type { TrainedParameter } from '#core/ports/engine.ts'
import type {
  BatchGradients,
  Trainee,
  TraineeInit,
  TrainingEngine,
  TrainingExample,
} from '#core/ports/training-engine.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'
import { createRandom, randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { oracleWeights } from './engine/oracle.ts'
import {
  adam,
  allScales,
  allValues,
  centralDifference,
  copyOf,
  entries,
  everyFew,
  everything,
  expectedGradient,
  firstExample,
  inFloat64,
  ragged,
  randomDirection,
  scaleOf,
  scalesOf,
  shapes,
  smallConfig,
  someTokens,
  sumOf,
  type TrainingUnderTest,
  tensor,
  tensorOf,
} from './training-engine/inputs.ts'
import { describeStandingPatches } from './training-engine/standing-patches.ts'
import { describeSteps } from './training-engine/steps.ts'
import { describeTargets } from './training-engine/targets.ts'

/** An engine that holds something of its own, a process perhaps, can be disposed. */
export type DisposableTrainingEngine = TrainingEngine & { readonly dispose?: () => void | Promise<void> }

/** `tolerance` is relative, as `relativeError` has it; of gradients, to the largest of a tensor. */
export function describeTrainingEngine(
  name: string,
  create: () => DisposableTrainingEngine | Promise<DisposableTrainingEngine>,
  { tolerance }: { tolerance: number },
): void {
  describe(name, () => {
    const loaded: Trainee[] = []
    let engine: DisposableTrainingEngine
    beforeAll(async () => {
      engine = await create()
    })
    afterAll(async () => {
      await engine?.dispose?.()
    })
    afterEach(async () => {
      await Promise.all(loaded.splice(0).map((trainee) => trainee.dispose()))
    })
    async function load(
      config: ModelConfig,
      parameters: readonly TrainedParameter[],
      init: Partial<TraineeInit> = {},
    ): Promise<Trainee> {
      const trainee = await engine.loadTrainee(randomModel(config, 1), { threads: 1, ...init, parameters })
      loaded.push(trainee)
      return trainee
    }
    function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
      expect(relativeError(actual, expected)).toBeLessThan(tolerance)
    }

    const suite: TrainingUnderTest = { load, expectClose, tolerance }
    describeTargets(suite)
    describeSteps(suite)
    describeStandingPatches(suite)

    describe('has the loss and all gradients of core/numerics', () => {
      for (const [shape, changes] of Object.entries(shapes)) {
        it(`for a model with ${shape}`, async () => {
          const config = smallConfig(changes)
          const parameters = everything(config)
          const trainee = await load(config, parameters)
          const { lossSum, weightSum, gradients } = await trainee.gradients([firstExample])
          const weights = await oracleWeights(randomModel(config, 1))
          const expected = lossGradients(firstExample.tokens, weights, config, {})
          expect(weightSum).toBe(firstExample.tokens.length - 1)
          expect(Math.abs(lossSum / expected.lossSum - 1)).toBeLessThan(tolerance)
          expect((await trainee.loss([firstExample])).lossSum).toBe(lossSum)
          for (const [i, parameter] of parameters.entries()) {
            expectClose(gradients[i] ?? [], expectedGradient(expected.gradients, parameter))
          }
        })
      }
    })

    it('has the slopes that central differences of the loss have', async () => {
      for (const changes of [{}, { tiedHead: true }, { queryKeyNorm: true, attentionBias: true } as const]) {
        const config = smallConfig(changes)
        const parameters = everything(config).filter(({ kind }) => kind === 'tensor')
        const { gradients } = await (await load(config, parameters)).gradients([firstExample])
        const weights = inFloat64(await oracleWeights(randomModel(config, 1)), config)
        for (const [i, parameter] of parameters.entries()) {
          const gradient = gradients[i] ?? new Float32Array()
          const direction = randomDirection(gradient.length, i)
          const slope = gradient.reduce((sum, g, k) => sum + g * (direction[k] as number), 0)
          const length = Math.hypot(...gradient)
          const expected = centralDifference(weights, config, tensorOf(weights, parameter), direction)
          expect(Math.abs(slope - expected)).toBeLessThan(tolerance * length)
        }
      }
    })

    describe('examples', () => {
      it('of different lengths count each as by itself, in any order', async () => {
        const config = smallConfig({})
        const trainee = await load(config, everything(config))
        const single: BatchGradients[] = []
        for (const example of ragged) single.push(copyOf(await trainee.gradients([example])))
        const sums = single[0]?.gradients.map((_, i) => sumOf(single.map(({ gradients }) => gradients[i] ?? [])))
        for (const batch of [ragged, ragged.toReversed()]) {
          const together = await trainee.gradients(batch)
          expect(together.weightSum).toBe(single.reduce((sum, { weightSum }) => sum + weightSum, 0))
          expect(Math.abs(together.lossSum / single.reduce((sum, { lossSum }) => sum + lossSum, 0) - 1)).toBeLessThan(
            1e-6,
          )
          for (const [i, gradient] of together.gradients.entries()) expectClose(gradient, sums?.[i] ?? [])
        }
      })

      it('weigh their targets, and those of no weight not at all', async () => {
        const config = smallConfig({})
        const trainee = await load(config, everything(config))
        const targetWeights = Float32Array.from(firstExample.tokens.slice(1), (_, i) => [0, 1, 2.5][i % 3] as number)
        const { lossSum, weightSum, gradients } = await trainee.gradients([{ ...firstExample, targetWeights }])
        const weights = await oracleWeights(randomModel(config, 1))
        const expected = lossGradients(firstExample.tokens, weights, config, { targetWeights })
        expect(weightSum).toBe(targetWeights.reduce((sum, weight) => sum + weight, 0))
        expect(Math.abs(lossSum / expected.lossSum - 1)).toBeLessThan(tolerance)
        for (const [i, parameter] of trainee.parameters.entries()) {
          expectClose(gradients[i] ?? [], expectedGradient(expected.gradients, parameter))
        }
        const none = { ...firstExample, targetWeights: new Float32Array(targetWeights.length) }
        const empty = await trainee.gradients([none])
        expect(empty).toMatchObject({ lossSum: 0, weightSum: 0 })
        expect(empty.gradients.every((gradient) => gradient.every((value) => value === 0))).toBe(true)
        const before = await trainee.values(0)
        await trainee.step([none], adam)
        expect(await trainee.values(0)).toEqual(before)
      })

      it('that say nothing or something impossible are refused by what is wrong with them', async () => {
        const trainee = await load(smallConfig({ contextLength: 20 }), [tensor(tensorNames.finalNorm)])
        const wrong: TrainingExample[] = [
          { tokens: [] },
          { tokens: [1] },
          { tokens: [1, 40] },
          { tokens: [1, -1] },
          { tokens: [1, 1.5] },
          { tokens: [1, 2, 3], targetWeights: new Float32Array(3) },
          { tokens: [1, 2], targetWeights: Float32Array.of(Number.NaN) },
          { tokens: [1, 2], targetWeights: Float32Array.of(Number.POSITIVE_INFINITY) },
          { tokens: [1, 2, 3], targets: [1] },
          { tokens: [1, 2], targets: [40] },
          { tokens: [1, 2], targets: [-1] },
        ]
        for (const example of wrong) await expect(trainee.loss([firstExample, example])).rejects.toThrow(RangeError)
        const long = { tokens: Array.from({ length: 22 }, () => 1) }
        await expect(trainee.gradients([long])).rejects.toThrow(ContextTooLongError)
        expect((await trainee.loss([])).weightSum).toBe(0)
      })
    })

    describe('a mask', () => {
      it('has the gradient of the whole tensor at its entries, and nothing else changes', async () => {
        const config = smallConfig({ attentionBias: true, queryKeyNorm: true, tiedHead: true })
        const names = expectedTensors(config)
        const masks = names.map(({ name, shape }, i) => entries(name, everyFew(elementCount(shape), 3 + (i % 5))))
        const whole = await load(
          config,
          names.map(({ name }) => tensor(name)),
        )
        const masked = await load(config, masks)
        const dense = await whole.gradients(ragged)
        const sparse = await masked.gradients(ragged)
        expect(sparse.lossSum).toBe(dense.lossSum)
        for (const [i, { indices }] of masks.entries()) {
          expectClose(
            sparse.gradients[i] ?? [],
            Array.from(indices, (index) => dense.gradients[i]?.[index] ?? Number.NaN),
          )
        }
        const base = await allValues(whole)
        await masked.step(ragged, adam)
        const all = await load(config, [...masks])
        for (const [i, { indices }] of masks.entries()) {
          expect(await all.values(i)).toEqual(Float32Array.from(indices, (index) => base[i]?.[index] ?? Number.NaN))
          expect(await masked.values(i)).not.toEqual(await all.values(i))
        }
        expect(masked.optimizerStateBytes).toBe(8 * masked.parameterCount)
      })

      it('of a few entries, of one and of none is a mask', async () => {
        const config = smallConfig({})
        const [first, second] = [tensorNames.block(0), tensorNames.block(1)]
        const masks = [entries(first.query, [5]), entries(first.up, []), entries(second.down, [0, 1, 511])]
        const trainee = await load(config, masks)
        const { gradients } = await trainee.gradients([firstExample])
        expect(gradients.map(({ length }) => length)).toEqual([1, 0, 3])
        const whole = await (await load(config, [tensor(second.down)])).gradients([firstExample])
        expectClose(
          gradients[2] ?? [],
          [0, 1, 511].map((index) => whole.gradients[0]?.[index] ?? Number.NaN),
        )
        expect(trainee.parameterCount).toBe(4)
      })
    })

    describe('(IA)³ scales', () => {
      it('begin as ones, change nothing then, and have the gradients of core/numerics wherever they stand', async () => {
        const config = smallConfig({ attentionBias: true, queryKeyNorm: true })
        const parameters = allScales(config)
        const trainee = await load(config, parameters)
        const plain = await load(config, [tensor(tensorNames.finalNorm)])
        expectClose([(await trainee.loss(ragged)).lossSum], [(await plain.loss(ragged)).lossSum])
        const random = createRandom(3)
        for (const index of parameters.keys()) {
          const values = await trainee.values(index)
          expect(values.every((value) => value === 1)).toBe(true)
          await trainee.setValues(
            index,
            values.map(() => 1 + 0.5 * random()),
          )
        }
        const values = await allValues(trainee)
        const scales = Array.from({ length: config.blockCount }, (_, block) => scalesOf(parameters, values, block))
        const weights = await oracleWeights(randomModel(config, 1))
        const expected = lossGradients(firstExample.tokens, weights, config, { scales })
        const { lossSum, gradients } = await trainee.gradients([firstExample])
        expect(Math.abs(lossSum / expected.lossSum - 1)).toBeLessThan(tolerance)
        for (const [i, parameter] of parameters.entries()) {
          expectClose(gradients[i] ?? [], expectedGradient(expected.gradients, parameter))
        }
      })
    })

    describe('a step', () => {
      it('of SGD goes down the mean gradient', async () => {
        const config = smallConfig({})
        const parameters = [tensor(tensorNames.embedding), entries(tensorNames.block(1).up, [1, 7, 300])]
        const trainee = await load(config, parameters)
        const { gradients, weightSum } = copyOf(await trainee.gradients(ragged))
        const before = await allValues(trainee)
        const { lossSum } = await trainee.step(ragged, { kind: 'sgd', learningRate: 0.5, gradientScale: 0.25 })
        for (const [i, values] of before.entries()) {
          const factor = (0.5 * 0.25) / weightSum
          expectClose(
            await trainee.values(i),
            values.map((value, k) => value - factor * (gradients[i]?.[k] ?? Number.NaN)),
          )
        }
        expect((await trainee.loss(ragged)).lossSum).toBeLessThan(lossSum)
        expect(trainee.optimizerStateBytes).toBe(0)
      })

      it('of AdamW moves as its paper says, and decays what is trained', async () => {
        const config = smallConfig({})
        const trainee = await load(config, [tensor(tensorNames.finalNorm)])
        const expected = Float64Array.from(await trainee.values(0))
        const [m, v] = [new Float64Array(expected.length), new Float64Array(expected.length)]
        for (let t = 1; t <= 3; t++) {
          const { gradients, weightSum } = await trainee.gradients(ragged)
          for (const [i, sum] of gradients[0]?.entries() ?? []) {
            const g = sum / weightSum
            m[i] = 0.9 * (m[i] as number) + 0.1 * g
            v[i] = 0.99 * (v[i] as number) + 0.01 * g * g
            const step = (m[i] as number) / (1 - 0.9 ** t) / (Math.sqrt((v[i] as number) / (1 - 0.99 ** t)) + 1e-8)
            expected[i] = (expected[i] as number) - 1e-2 * (step + 0.1 * (expected[i] as number))
          }
          await trainee.step(ragged, adam)
        }
        expectClose(await trainee.values(0), expected)
        expect(trainee.optimizerStateBytes).toBe(8 * trainee.parameterCount)
      })

      it('goes on from exported moments bit for bit', async () => {
        const config = smallConfig({})
        const parameters = [
          tensor(tensorNames.block(0).gate),
          entries(tensorNames.block(1).value, [3, 5, 9]),
          scaleOf(0),
        ]
        const straight = await load(config, parameters)
        for (let i = 0; i < 4; i++) await straight.step(ragged, adam)
        const first = await load(config, parameters)
        for (let i = 0; i < 2; i++) await first.step(ragged, adam)
        const saved = structuredClone(await first.exportOptimizer())
        expect(saved.steps).toBe(2)
        const second = await load(config, parameters)
        for (const index of parameters.keys()) await second.setValues(index, await first.values(index))
        await second.importOptimizer(saved)
        for (let i = 0; i < 2; i++) await second.step(ragged, adam)
        for (const index of parameters.keys()) expect(await second.values(index)).toEqual(await straight.values(index))
        expect(await second.exportOptimizer()).toEqual(await straight.exportOptimizer())
        await expect(second.importOptimizer({ steps: 1, moments: saved.moments.slice(1) })).rejects.toThrow(RangeError)
        await expect(second.importOptimizer({ steps: -1, moments: [] })).rejects.toThrow(RangeError)
      })

      it('gives the same bits for the same inputs', async () => {
        const config = smallConfig({})
        const [one, two] = [await load(config, everything(config)), await load(config, everything(config))]
        for (let i = 0; i < 3; i++) expect(await one.step(ragged, adam)).toEqual(await two.step(ragged, adam))
        for (const index of one.parameters.keys()) expect(await one.values(index)).toEqual(await two.values(index))
      })
    })

    it('squares the gradients of each example by itself', async () => {
      const config = smallConfig({ tiedHead: true })
      const trainee = await load(config, [tensor(tensorNames.embedding), entries(tensorNames.block(0).key, [0, 3, 77])])
      const squares = []
      for (const example of ragged) {
        squares.push(copyOf(await trainee.gradients([example])).gradients.map((gradient) => gradient.map((g) => g * g)))
      }
      const fisher = await trainee.squaredGradients(ragged)
      for (const [i, values] of fisher.entries()) expectClose(values, sumOf(squares.map((each) => each[i] ?? [])))
    })

    it('gives copies of values, and takes copies', async () => {
      const trainee = await load(smallConfig({}), [tensor(tensorNames.finalNorm)])
      const values = (await trainee.values(0)).fill(0.5)
      expect(await trainee.values(0)).not.toEqual(values)
      await trainee.setValues(0, values)
      values.fill(3)
      expect((await trainee.values(0)).every((value) => value === 0.5)).toBe(true)
      await expect(trainee.setValues(0, new Float32Array(3))).rejects.toThrow(RangeError)
      await expect(trainee.values(1)).rejects.toThrow(RangeError)
    })

    describe('refuses to train', () => {
      const query = tensorNames.block(0).query
      const cases: Record<string, TrainedParameter[]> = {
        'a tensor the model does not have': [tensor('model.layers.9.mlp.up_proj.weight')],
        'the bias of a model without': [tensor(tensorNames.block(0).queryBias)],
        'the head of a model whose head is the embedding': [tensor(tensorNames.head)],
        'entries past the end': [entries(query, [64 * 16])],
        'entries out of order': [entries(query, [3, 2])],
        'an entry twice': [entries(query, [3, 3])],
        'scales of a block that is not there': [{ kind: 'scale', block: 2, target: 'key' }],
        'a tensor twice': [tensor(query), entries(query, [1])],
      }
      for (const [what, parameters] of Object.entries(cases)) {
        it(what, async () => {
          const loading = engine.loadTrainee(randomModel(smallConfig({ tiedHead: true }), 1), {
            parameters,
            threads: 1,
          })
          await expect(loading).rejects.toThrow(PatchMismatchError)
        })
      }
    })

    describe('stops', () => {
      it('when aborted, with nothing changed', async () => {
        const config = smallConfig({})
        const trainee = await load(config, everything(config))
        const before = await allValues(trainee)
        const signal = AbortSignal.abort(new Error('enough'))
        for (const call of [
          () => trainee.loss(ragged, { signal }),
          () => trainee.gradients(ragged, { signal }),
          () => trainee.step(ragged, adam, { signal }),
          () => trainee.squaredGradients(ragged, { signal }),
          () => trainee.logProbabilities(ragged, { signal }),
          () => trainee.sampleTargets(ragged, { seed: 1, signal }),
        ]) {
          await expect(call()).rejects.toThrow('enough')
        }
        for (const [i, values] of before.entries()) expect(await trainee.values(i)).toEqual(values)
        expect((await trainee.loss(ragged)).weightSum).toBeGreaterThan(0)
      })

      it('within 200 ms of an abort in the middle of a step', async () => {
        const shape = { hiddenSize: 128, intermediateSize: 352, blockCount: 6, headCount: 4, headSize: 32 }
        const trainee = await load(tinyConfig(shape), [tensor(tensorNames.embedding), scaleOf(0)])
        const batch = Array.from({ length: 16 }, (_, i) => ({ tokens: someTokens(257, i) }))
        await trainee.loss(batch.slice(0, 1)) // graphs are made at their first use
        const abort = new AbortController()
        const before = await trainee.values(0)
        let abortedAtMs = 0
        setImmediate(() => {
          abortedAtMs = performance.now()
          abort.abort()
        })
        await expect(trainee.step(batch, adam, { signal: abort.signal })).rejects.toThrow(/abort/i)
        expect(performance.now() - abortedAtMs).toBeLessThan(200)
        expect(await trainee.values(0)).toEqual(before)
      })

      it('when disposed of, also in the middle of a call, and is gone then', async () => {
        const config = smallConfig({})
        const trainee = await load(config, everything(config))
        const running = expect(trainee.gradients(ragged)).rejects.toThrow()
        await expect(trainee.loss(ragged)).rejects.toThrow(/overlap/)
        await expect(trainee.values(0)).rejects.toThrow(/overlap/)
        await trainee.dispose()
        await running
        await trainee.dispose()
        await expect(trainee.loss(ragged)).rejects.toThrow(/disposed/)
        await expect(trainee.exportOptimizer()).rejects.toThrow(/disposed/)
      })
    })
  })
}
