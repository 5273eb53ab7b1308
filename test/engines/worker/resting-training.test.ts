import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import { EngineFailedError } from '#core/errors.ts'
import type { Trainee } from '#core/ports/training-engine.ts'
import type { ComputeClient } from '#engines/worker/compute-client.ts'
import { createRestingTraining, type RestingTraining } from '#engines/worker/resting-training.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { startTestWorkers, type TestWorkers, transports } from './workers.ts'

const model = randomModel(tinyConfig(), 1)
const init = { parameters: [{ kind: 'tensor', name: tensorNames.finalNorm }], threads: 1 } as const
const restAfterMs = 30_000

describe('a training worker', () => {
  let started: TestWorkers[] = []
  let training: RestingTraining
  let entry = 'training-worker.ts'

  /** Real workers; only the waiting for the next trainee is on the test's time. */
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    training = createRestingTraining({ start }, { backend: 'onnxruntime-cpu', restAfterMs })
  })
  afterEach(async () => {
    vi.useRealTimers()
    await training.dispose()
    await Promise.all(started.map((one) => one.dispose()))
    started = []
    entry = 'training-worker.ts'
  })

  async function start(): Promise<ComputeClient> {
    vi.useRealTimers()
    const workers = await startTestWorkers(transports['a child process'], { entry })
    started.push(workers)
    await workers.publish(model)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    return workers.client
  }
  const load = (): Promise<Trainee> => training.engine.loadTrainee(model, init)
  const isRunning = async (place: number) => (await started[place]?.client.stats()) != null

  it('is started by the first trainee, and shared by the next', async () => {
    expect(await training.residentBytes()).toBe(0)
    expect(started).toHaveLength(0)
    const [first, second] = [await load(), await load()]
    expect(started).toHaveLength(1)
    expect((await first.loss([{ tokens: [1, 2, 3] }])).weightSum).toBe(2)
    expect(await training.residentBytes()).toBeGreaterThan(10e6)
    await Promise.all([first.dispose(), second.dispose()])
  })

  it('ends some time after its last trainee, and another serves the next', async () => {
    const [first, second] = [await load(), await load()]
    await first.dispose()
    await first.dispose() // counts once
    vi.advanceTimersByTime(10 * restAfterMs)
    expect(await isRunning(0)).toBe(true)
    await second.dispose()
    vi.advanceTimersByTime(restAfterMs - 1)
    expect(await isRunning(0)).toBe(true)
    const third = await load() // in time
    vi.advanceTimersByTime(10 * restAfterMs)
    expect(await isRunning(0)).toBe(true)
    expect(started).toHaveLength(1)
    await third.dispose()
    vi.advanceTimersByTime(restAfterMs)
    expect(await training.residentBytes()).toBe(0)
    vi.useRealTimers()
    await expect.poll(() => isRunning(0).catch(() => false)).toBe(false)
    await load()
    expect(started).toHaveLength(2)
  })

  it('that was started for a trainee nobody could load ends too', async () => {
    const wrong = { ...init, parameters: [{ kind: 'tensor', name: 'nothing' }] } as const
    await expect(training.engine.loadTrainee(model, wrong)).rejects.toThrow('nothing')
    vi.advanceTimersByTime(restAfterMs)
    expect(await training.residentBytes()).toBe(0)
  })

  it('that is killed fails its trainees by name, and another serves the next', async () => {
    const trainee = await load()
    started[0]?.started[0]?.kill()
    await expect(trainee.loss([{ tokens: [1, 2, 3] }])).rejects.toThrow(EngineFailedError)
    await trainee.dispose()
    const next = await load()
    expect((await next.loss([{ tokens: [1, 2, 3] }])).weightSum).toBe(2)
    expect(started[0]?.started).toHaveLength(2) // started again by its client
  })

  it('that does not train is refused, and none starts once all is shut down', async () => {
    entry = 'reference-worker.ts'
    await expect(load()).rejects.toThrow('does not train')
    await training.dispose()
    await expect(load()).rejects.toThrow('shut down')
    expect(started).toHaveLength(1)
  })
})
