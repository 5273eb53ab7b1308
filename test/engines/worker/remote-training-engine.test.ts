import { afterEach, describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import { PatchMismatchError } from '#core/errors.ts'
import type { PatchWeights, TrainedParameter } from '#core/ports/engine.ts'
import type { OptimizerState, OptimizerStep, TrainingEngine, TrainingExample } from '#core/ports/training-engine.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { randomEndsPatch, randomPatch } from '#test/compliance/engine/inputs.ts'
import { describeTrainingEngine } from '#test/compliance/training-engine.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { startTestWorkers, type TestWorkers, transports } from './workers.ts'

const model = randomModel(tinyConfig(), 1)
const parameters: readonly TrainedParameter[] = [
  { kind: 'tensor', name: tensorNames.block(0).attentionNorm },
  { kind: 'entries', name: tensorNames.block(1).query, indices: Uint32Array.of(0, 7, 900, 2047) },
  { kind: 'scale', block: 2, target: 'feedForward' },
]
const on: readonly PatchWeights[] = [randomPatch(tinyConfig(), 2), randomEndsPatch(tinyConfig(), 3)]
const batch: readonly TrainingExample[] = [
  { tokens: [1, 2, 3, 4, 5], targets: [7, 3, 4, 6] },
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
      const here = await createTrainingEngine().loadTrainee(model, { parameters, on, threads: 1 })
      const there = await engine.loadTrainee(model, { parameters, on, threads: 1 })
      expect(there.parameterCount).toBe(here.parameterCount)
      expect(await there.loss(batch)).toEqual(await here.loss(batch))
      expect(await there.gradients(batch)).toEqual(await here.gradients(batch))
      expect(await there.squaredGradients(batch)).toEqual(await here.squaredGradients(batch))
      expect(await there.logProbabilities(batch)).toEqual(await here.logProbabilities(batch))
      const drawing = { seed: 5 }
      expect(await there.sampleTargets(batch, drawing)).toEqual(await here.sampleTargets(batch, drawing))
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

describe('a run that goes on in another process', () => {
  const shape = { hiddenSize: 128, intermediateSize: 352, headSize: 32, blockCount: 2 }
  const large = randomModel(tinyConfig(shape), 4)
  const masks: readonly TrainedParameter[] = [
    { kind: 'entries', name: tensorNames.embedding, indices: everySeventh(40 * 128) },
    { kind: 'entries', name: tensorNames.block(0).gate, indices: everySeventh(352 * 128) },
    { kind: 'tensor', name: tensorNames.block(1).down },
    { kind: 'scale', block: 1, target: 'value' },
  ]
  const texts = [200, 200, 150].map((length, i) => ({
    tokens: Array.from({ length }, (_, t) => (7 * t * (i + 3) + t * t) % 40),
  }))

  for (const threads of [1, 2]) {
    it(`has the bits it would have had in one, on ${threads} ${threads > 1 ? 'threads' : 'thread'}`, async () => {
      const here = await createTrainingEngine().loadTrainee(large, { parameters: masks, threads })
      const straight = []
      for (let i = 0; i < 4; i++) straight.push(await here.step(texts, adam))
      const there = []
      let saved: { values: Float32Array[]; optimizer: OptimizerState } | undefined
      for (let process = 0; process < 2; process++) {
        const own = await startTestWorkers(transports['a child process'], { entry: 'training-worker.ts' })
        try {
          const trainee = await trainingOf(own).loadTrainee(large, { parameters: masks, threads })
          for (const [i, values] of saved?.values.entries() ?? []) await trainee.setValues(i, values)
          if (saved) await trainee.importOptimizer(saved.optimizer)
          for (let i = 0; i < 2; i++) there.push(await trainee.step(texts, adam))
          const values: Float32Array[] = []
          for (const index of masks.keys()) values.push(await trainee.values(index))
          saved = { values, optimizer: await trainee.exportOptimizer() }
        } finally {
          await own.dispose()
        }
      }
      expect(there).toEqual(straight)
      expect(saved?.optimizer).toEqual(await here.exportOptimizer())
      for (const index of masks.keys()) expect(saved?.values[index]).toEqual(await here.values(index))
      await here.dispose()
    })
  }
})

function everySeventh(length: number): Uint32Array {
  return Uint32Array.from({ length: Math.floor(length / 7) }, (_, i) => 7 * i)
}
