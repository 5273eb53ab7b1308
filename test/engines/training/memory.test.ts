import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'

setFlagsFromString('--expose_gc')
const collectGarbage = runInNewContext('gc') as () => void

describe('a trainee’s memory', () => {
  const shape = { hiddenSize: 128, intermediateSize: 352, blockCount: 4, headCount: 4, headSize: 32 }
  const config = tinyConfig(shape)
  const model = randomModel(config, 1)
  const parameters = expectedTensors(config).map(({ name }) => ({ kind: 'tensor', name }) as const)
  const batch = Array.from({ length: 4 }, (_, i) => ({
    tokens: Array.from({ length: 65 }, (_, t) => (t * (i + 3)) % 40),
  }))
  const adamw = { kind: 'adamw', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 } as const
  const load = () => createTrainingEngine().loadTrainee(model, { parameters, threads: 1 })

  async function trainAndLeave(): Promise<void> {
    const trainee = await load()
    for (let i = 0; i < 3; i++) await trainee.step(batch, adamw)
    await trainee.squaredGradients(batch.slice(0, 2))
    await trainee.dispose()
  }

  it('is given back when it is disposed of', async () => {
    for (let i = 0; i < 4; i++) await trainAndLeave()
    const before = residentMebibytes()
    for (let i = 0; i < 10; i++) await trainAndLeave()
    // A trainee that stayed would cost about 25 MiB: weights, gradients, moments and scratch.
    expect(residentMebibytes() - before).toBeLessThan(60)
  })

  it('does not grow from step to step', async () => {
    const trainee = await load()
    for (let i = 0; i < 5; i++) await trainee.step(batch, adamw)
    const before = residentMebibytes()
    for (let i = 0; i < 40; i++) await trainee.step(batch, adamw)
    expect(residentMebibytes() - before).toBeLessThan(30)
    await trainee.dispose()
  })
})

function residentMebibytes(): number {
  collectGarbage()
  return process.memoryUsage().rss / 2 ** 20
}
