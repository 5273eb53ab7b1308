import { afterEach, describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import { PatchMismatchError } from '#core/errors.ts'
import type { TrainedParameter } from '#core/ports/engine.ts'
import type { OptimizerStep, TrainingEngine, TrainingExample } from '#core/ports/training-engine.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { describeTrainingEngine } from '#test/compliance/training-engine.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { startTestWorkers, type TestWorkers, transports } from './workers.ts'

const model = randomModel(tinyConfig(), 1)
const parameters: readonly TrainedParameter[] = [
  { kind: 'tensor', name: tensorNames.block(0).attentionNorm },
  { kind: 'entries', name: tensorNames.block(1).query, indices: Uint32Array.of(0, 7, 900, 2047) },
  { kind: 'scale', block: 2, target: 'feedForward' },
]
const batch: readonly TrainingExample[] = [
  { tokens: [1, 2, 3, 4, 5] },
  { tokens: [9, 8, 7], targetWeights: Float32Array.of(0.5, 2) },
]
const adam: OptimizerStep = {
  kind: 'adamw',
  learningRate: 1e-2,
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-8,
  weightDecay: 0.1,
}

let workers: TestWorkers | undefined
afterEach(async () => {
  await workers?.dispose()
  workers = undefined
})

async function begin(start: (typeof transports)[keyof typeof transports]) {
  workers = await startTestWorkers(start, { entry: 'training-worker.ts' })
  return { engine: trainingOf(workers), client: workers.client }
}

function trainingOf({ training }: TestWorkers): TrainingEngine {
  if (training === null) throw new Error('the worker does not train')
  return training
}

describeTrainingEngine(
  'the training engine in a child process',
  async () => {
    const own = await startTestWorkers(transports['a child process'], { entry: 'training-worker.ts' })
    return { ...trainingOf(own), dispose: own.dispose }
  },
  { tolerance: 2e-5 },
)

for (const [name, start] of Object.entries(transports)) {
  describe(`training in ${name}`, () => {
    it('is the same as training here, number by number', async () => {
      const { engine } = await begin(start)
      const here = await createTrainingEngine().loadTrainee(model, { parameters, threads: 1 })
      const there = await engine.loadTrainee(model, { parameters, threads: 1 })
      expect(there.parameterCount).toBe(here.parameterCount)
      expect(await there.loss(batch)).toEqual(await here.loss(batch))
      expect(await there.gradients(batch)).toEqual(await here.gradients(batch))
      expect(await there.squaredGradients(batch)).toEqual(await here.squaredGradients(batch))
      for (let i = 0; i < 2; i++) expect(await there.step(batch, adam)).toEqual(await here.step(batch, adam))
      expect(there.optimizerStateBytes).toBe(here.optimizerStateBytes)
      expect(await there.exportOptimizer()).toEqual(await here.exportOptimizer())
      for (const index of parameters.keys()) expect(await there.values(index)).toEqual(await here.values(index))
      await Promise.all([here.dispose(), there.dispose()])
    })

    it('goes on bit for bit from saved values and the saved state of the optimizer', async () => {
      const { engine } = await begin(start)
      const first = await engine.loadTrainee(model, { parameters, threads: 1 })
      const second = await engine.loadTrainee(model, { parameters, threads: 1 })
      await second.importOptimizer(await first.exportOptimizer()) // without moments
      await first.step(batch, adam)
      await second.importOptimizer(await first.exportOptimizer())
      for (const index of parameters.keys()) await second.setValues(index, await first.values(index))
      expect(second.optimizerStateBytes).toBe(first.optimizerStateBytes)
      expect(await second.step(batch, adam)).toEqual(await first.step(batch, adam))
      expect(await second.values(1)).toEqual(await first.values(1))
    })

    it('refuses what the engine refuses, by class, and calls that overlap', async () => {
      const { engine, client } = await begin(start)
      const unknown = { parameters: [{ kind: 'tensor', name: 'model.layers.9.nothing' }], threads: 1 } as const
      await expect(engine.loadTrainee(model, unknown)).rejects.toThrow(PatchMismatchError)
      const trainee = await engine.loadTrainee(model, { parameters, threads: 1 })
      const loss = trainee.loss(batch)
      await expect(trainee.values(0)).rejects.toThrow('overlap')
      await loss
      await expect(trainee.setValues(0, new Float32Array(3))).rejects.toThrow(RangeError)
      await trainee.dispose()
      await trainee.dispose()
      await expect(trainee.loss(batch)).rejects.toThrow('disposed')
      expect(await client.stats()).toMatchObject({ parts: 0 })
    })

    it('an aborted step either happened or did not, and the trainee goes on', async () => {
      const { engine } = await begin(start)
      const trainee = await engine.loadTrainee(model, { parameters, threads: 1 })
      const before = await trainee.values(0)
      const controller = new AbortController()
      const step = trainee.step(batch, adam, { signal: controller.signal })
      controller.abort()
      const [outcome] = await Promise.allSettled([step])
      const after = await trainee.values(0)
      if (outcome?.status === 'rejected') expect(outcome.reason).toBe(controller.signal.reason)
      expect(after.join() === before.join()).toBe(outcome?.status === 'rejected')
      await expect(trainee.step(batch, adam, { signal: AbortSignal.abort() })).rejects.toMatchObject({
        name: 'AbortError',
      })
      expect(await trainee.values(0)).toEqual(after)
    })
  })
}
