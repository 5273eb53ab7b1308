/**
 * Training in a worker of its own that is there while something is trained: started when a trainee is wanted, and ended some
 * time after the last one is disposed of. Between runs it costs nothing, and what breaks in it breaks nothing else.
 */
import { EngineFailedError } from '#core/errors.ts'
import type { Trainee, TraineeInit, TrainingEngine } from '#core/ports/training-engine.ts'
import type { ComputeClient } from './compute-client.ts'
import { once } from './once.ts'
import { createRemoteTrainingEngine } from './remote-training-engine.ts'

export interface RestingTraining {
  /** Throws `EngineFailedError` from `loadTrainee` when no worker starts, or it does not train. */
  readonly engine: TrainingEngine
  /** What the worker takes; 0 while there is none. Of one that is held still, what it took when it was last asked. */
  residentBytes(): Promise<number>
  /** Holds what is trained still (`Connection.suspend`). */
  suspend(): void
  resume(): void
  /** Ends the worker, with all trainees. */
  dispose(): Promise<void>
}

export interface RestingTrainingComponents {
  readonly start: () => Promise<ComputeClient>
}
export interface RestingTrainingInit {
  readonly backend: string
  /** How long a worker without trainees waits for the next. */
  readonly restAfterMs: number
}

export function createRestingTraining(
  { start }: RestingTrainingComponents,
  { backend, restAfterMs }: RestingTrainingInit,
): RestingTraining {
  let client: Promise<ComputeClient> | null = null
  let rest: NodeJS.Timeout | undefined
  /** Trainees there are or will be. */
  let users = 0
  let isDisposed = false
  let running: ComputeClient | null = null
  let isSuspended = false
  let knownBytes = 0
  /** Those that ask for the memory of a worker which, held still, does not answer. */
  const asking = new Set<() => void>()

  function startOnce(): Promise<ComputeClient> {
    if (client !== null) return client
    const starting = start()
    client = starting
    starting.then(
      (started) => {
        if (client === starting) running = started
      },
      () => {
        if (client === starting) client = null
      },
    )
    return starting
  }

  /** Brings `knownBytes` up to date, unless the worker stands still. */
  async function measure(): Promise<void> {
    const started = await client?.catch(() => null)
    if (!started || isSuspended) return
    const { promise: gaveUp, resolve: giveUp } = Promise.withResolvers<'gave up'>()
    const stop = () => giveUp('gave up')
    asking.add(stop)
    const stats = await Promise.race([started.stats().catch(() => null), gaveUp])
    asking.delete(stop)
    if (stats !== 'gave up' && running === started) knownBytes = stats?.residentBytes ?? 0
  }

  async function end(): Promise<void> {
    clearTimeout(rest)
    const ending = client
    client = null
    running = null
    knownBytes = 0
    const started = await ending?.catch(() => null)
    await started?.dispose()
  }

  function release(): void {
    users--
    if (users > 0 || isDisposed) return
    rest = setTimeout(() => void end(), restAfterMs)
    rest.unref()
  }

  async function load(model: Parameters<TrainingEngine['loadTrainee']>[0], init: TraineeInit): Promise<Trainee> {
    const engine = createRemoteTrainingEngine(await startOnce())
    if (engine === null) throw new EngineFailedError(backend, 'does not train')
    return engine.loadTrainee(model, init)
  }

  return {
    engine: {
      backend,
      async loadTrainee(model, init) {
        if (isDisposed) throw new EngineFailedError(backend, 'has been shut down')
        init.signal?.throwIfAborted()
        clearTimeout(rest)
        users++
        try {
          const trainee = await load(model, init)
          void measure()
          return released(trainee, release)
        } catch (error) {
          release()
          throw error
        }
      },
    },
    async residentBytes() {
      await measure()
      return knownBytes
    },
    suspend() {
      isSuspended = true
      running?.suspend()
      for (const giveUp of [...asking]) giveUp()
    },
    resume() {
      isSuspended = false
      running?.resume()
    },
    async dispose() {
      isDisposed = true
      await end()
    },
  }
}

/** `trainee`, whose disposal is told. */
function released(trainee: Trainee, tell: () => void): Trainee {
  const tellOnce = once(tell)
  return {
    parameters: trainee.parameters,
    parameterCount: trainee.parameterCount,
    get optimizerStateBytes() {
      return trainee.optimizerStateBytes
    },
    values: trainee.values,
    setValues: trainee.setValues,
    loss: trainee.loss,
    gradients: trainee.gradients,
    step: trainee.step,
    logProbabilities: trainee.logProbabilities,
    sampleTargets: trainee.sampleTargets,
    squaredGradients: trainee.squaredGradients,
    exportOptimizer: trainee.exportOptimizer,
    importOptimizer: trainee.importOptimizer,
    dispose: () => trainee.dispose().finally(() => tellOnce()),
  }
}
