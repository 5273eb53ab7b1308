/**
 * Engines in workers: one for each backend that is used, started when first wanted. In a process of its own where this
 * program can start one, so that a crash of native code takes nothing else; else in a thread. Training has workers apart
 * from those that serve: it stands back further, and neither takes the other with it.
 */
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createCompute } from '#app/compute.ts'
import type { EngineSurvey } from '#app/engines.ts'
import type { Suspender } from '#app/runs/suspension.ts'
import type { Compute } from '#core/ports/compute.ts'
import type { Engine, WeightFormat } from '#core/ports/engine.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { TrainingEngine } from '#core/ports/training-engine.ts'
import { knownBackends } from '#engines/catalogue/known-backends.ts'
import { startChildProcess } from '#engines/worker/child-process.ts'
import { type ComputeClient, startComputeClient } from '#engines/worker/compute-client.ts'
import { createRemoteEngine } from '#engines/worker/remote-engine.ts'
import { createRestingTraining, type RestingTraining } from '#engines/worker/resting-training.ts'
import { canSuspend } from '#engines/worker/suspender.ts'
import { startWorkerThread } from '#engines/worker/worker-thread.ts'
import { type ComputeOptions, toArguments } from '../workers/compute-options.ts'
import { assembleCalibrator, usualPolicy } from './calibration.ts'
import { embeddedModelName } from './model-store.ts'

export const usualBackend = 'onnxruntime-cpu'

export interface AssembledCompute extends Compute, AsyncDisposable {
  readonly calibrator: ReturnType<typeof assembleCalibrator>
  readonly survey: EngineSurvey
  /**
   * Null for a backend that only runs models. Its worker starts with the first trainee and ends half a minute after the
   * last; when it breaks, `onFailure` is not told: calls of trainees fail with `EngineFailedError`, and loading starts another.
   */
  training(backend?: string): TrainingEngine | null
  /** Holds workers that train still; null where that cannot be done to workers. */
  readonly trainingSuspender: Suspender | null
  /** Of workers that train, which `residentBytes` counts too. */
  trainingResidentBytes(): Promise<number>
}

export interface ComputeAssembly {
  readonly directory: DataDirectory
  readonly logger: Logger
  /** Asked for by hand. */
  readonly format?: WeightFormat
  readonly resourcesDirectory?: string
  /** How far workers that run models stand back for other programs; 10 when left out. */
  readonly niceness?: number
  /** How long a worker that trains waits for the next trainee; 30 s when left out. */
  readonly trainingRestMs?: number
}

/** Training takes what nobody else wants. */
const trainingNiceness = 19

export function assembleCompute(init: ComputeAssembly): AssembledCompute {
  const { directory, logger } = init
  const clients = new Map<string, Promise<ComputeClient>>()
  const listeners = new Set<(backend: string, error: Error) => void>()
  const calibrator = assembleCalibrator(directory)

  const trainings = new Map<string, RestingTraining>()

  function client(backend: string): Promise<ComputeClient> {
    const known = clients.get(backend)
    if (known) return known
    const starting = startServing(backend)
    clients.set(backend, starting)
    starting.catch(() => clients.delete(backend))
    return starting
  }

  async function startServing(backend: string): Promise<ComputeClient> {
    const started = await start(backend, init.niceness ?? 10)
    started.onFailure((error) => {
      logger.error({ error, backend }, 'an engine broke')
      for (const listener of [...listeners]) listener(backend, error)
    })
    return started
  }

  async function startTraining(backend: string): Promise<ComputeClient> {
    const started = await start(backend, trainingNiceness, { suspendable: true })
    started.onFailure((error) => logger.error({ error, backend }, 'an engine broke while training'))
    return started
  }

  function start(backend: string, niceness: number, { suspendable = false } = {}): Promise<ComputeClient> {
    const args = toArguments(optionsOf(init, backend, niceness))
    const worker = { entry: workerEntry(), args, suspendable, onErrorOutput: logOutput }
    const startWorker = canStartProcesses ? startChildProcess : startWorkerThread
    return startComputeClient({ start: () => startWorker(worker), clock: systemClock }, { name: backend })
  }

  function training(backend: string): TrainingEngine | null {
    if (!knownBackends.some((known) => known.backend === backend && known.trains)) return null
    const known = trainings.get(backend)
    const made =
      known ??
      createRestingTraining(
        { start: () => startTraining(backend) },
        { backend, restAfterMs: init.trainingRestMs ?? 30_000 },
      )
    trainings.set(backend, made)
    return made.engine
  }

  const trainingSuspender: Suspender = {
    suspend() {
      for (const one of trainings.values()) one.suspend()
    },
    resume() {
      for (const one of trainings.values()) one.resume()
    },
  }

  function logOutput(text: string): void {
    logger.warn({ output: text.trim().slice(0, 2_000) }, 'an engine says')
  }

  /** A thread's memory is this process's own. */
  async function servingResidentBytes(): Promise<number> {
    if (!canStartProcesses) return 0
    const running = await Promise.allSettled([...clients.values()].map(async (one) => (await one).stats()))
    return running.reduce((sum, one) => sum + (one.status === 'fulfilled' ? (one.value?.residentBytes ?? 0) : 0), 0)
  }

  async function trainingResidentBytes(): Promise<number> {
    if (!canStartProcesses) return 0
    const each = await Promise.all([...trainings.values()].map((one) => one.residentBytes()))
    return each.reduce((sum, bytes) => sum + bytes, 0)
  }

  const compute = createCompute(
    {
      calibrator,
      residentBytes: async () => (await servingResidentBytes()) + (await trainingResidentBytes()),
      gpuBytes: async () => (await calibrator.memory(usualPolicy)).gpuBytes,
      engine: async (backend): Promise<Engine> => createRemoteEngine(await client(backend)),
      onFailure(listener) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    },
    { usualBackend, ...(init.format && { format: init.format }) },
  )
  return {
    ...compute,
    calibrator,
    survey: { calibrator, listBackends: calibrator.listBackends },
    training: (backend = usualBackend) => training(backend),
    trainingSuspender: canStartProcesses && canSuspend ? trainingSuspender : null,
    trainingResidentBytes,
    async [Symbol.asyncDispose]() {
      const all = [...clients.values()]
      clients.clear()
      const serving = all.map((one) =>
        one.then(
          (started) => started.dispose(),
          () => undefined,
        ),
      )
      await Promise.all([...serving, ...[...trainings.values()].map((one) => one.dispose())])
    },
  }
}

/** The packed desktop app refuses to run as a bare Node. */
const canStartProcesses = process.versions['electron'] === undefined

/** Beside the bundle in a built app, in its folder when run from source. */
function workerEntry(): string {
  const here = fileURLToPath(import.meta.url)
  return here.endsWith('.ts') ? resolve(here, '../../workers/compute.ts') : join(here, '../compute.js')
}

function optionsOf(
  { directory, resourcesDirectory }: ComputeAssembly,
  backend: string,
  niceness: number,
): ComputeOptions {
  const resources = resourcesDirectory ?? resolve(import.meta.dirname, '../../resources')
  return {
    backend,
    models: { directory: directory.models, embedded: [join(resources, 'models', embeddedModelName)] },
    preparedWeights: { directory: directory.preparedWeights },
    niceness,
  }
}
