/**
 * Engines in workers: one for each backend that is used, started when first wanted. In a process of its own where this
 * program can start one, so that a crash of native code takes nothing else; else in a thread.
 */
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createCompute } from '#app/compute.ts'
import type { EngineSurvey } from '#app/engines.ts'
import type { Compute } from '#core/ports/compute.ts'
import type { Engine, WeightFormat } from '#core/ports/engine.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { TrainingEngine } from '#core/ports/training-engine.ts'
import { startChildProcess } from '#engines/worker/child-process.ts'
import { type ComputeClient, startComputeClient } from '#engines/worker/compute-client.ts'
import { createRemoteEngine } from '#engines/worker/remote-engine.ts'
import { createRemoteTrainingEngine } from '#engines/worker/remote-training-engine.ts'
import { startWorkerThread } from '#engines/worker/worker-thread.ts'
import { type ComputeOptions, toArguments } from '../workers/compute-options.ts'
import { assembleCalibrator, usualPolicy } from './calibration.ts'
import { embeddedModelName } from './model-store.ts'

export const usualBackend = 'onnxruntime-cpu'

export interface AssembledCompute extends Compute, AsyncDisposable {
  readonly calibrator: ReturnType<typeof assembleCalibrator>
  readonly survey: EngineSurvey
  /** Null for a backend that only runs models. */
  training(backend?: string): Promise<TrainingEngine | null>
}

export interface ComputeAssembly {
  readonly directory: DataDirectory
  readonly logger: Logger
  /** Asked for by hand. */
  readonly format?: WeightFormat
  readonly resourcesDirectory?: string
  /** How far workers stand back for other programs; 10 when left out. */
  readonly niceness?: number
}

export function assembleCompute(init: ComputeAssembly): AssembledCompute {
  const { directory, logger } = init
  const clients = new Map<string, Promise<ComputeClient>>()
  const listeners = new Set<(backend: string, error: Error) => void>()
  const calibrator = assembleCalibrator(directory)

  function client(backend: string): Promise<ComputeClient> {
    const known = clients.get(backend)
    if (known) return known
    const starting = start(backend)
    clients.set(backend, starting)
    starting.catch(() => clients.delete(backend))
    return starting
  }

  async function start(backend: string): Promise<ComputeClient> {
    const worker = { entry: workerEntry(), args: toArguments(optionsOf(init, backend)), onErrorOutput: logOutput }
    const startWorker = canStartProcesses ? startChildProcess : startWorkerThread
    const started = await startComputeClient(
      { start: () => startWorker(worker), clock: systemClock },
      { name: backend },
    )
    started.onFailure((error) => {
      logger.error({ error, backend }, 'an engine broke')
      for (const listener of [...listeners]) listener(backend, error)
    })
    return started
  }

  function logOutput(text: string): void {
    logger.warn({ output: text.trim().slice(0, 2_000) }, 'an engine says')
  }

  /** A thread's memory is this process's own. */
  async function residentBytes(): Promise<number> {
    if (!canStartProcesses) return 0
    const running = await Promise.allSettled([...clients.values()].map(async (one) => (await one).stats()))
    return running.reduce((sum, one) => sum + (one.status === 'fulfilled' ? (one.value?.residentBytes ?? 0) : 0), 0)
  }

  const compute = createCompute(
    {
      calibrator,
      residentBytes,
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
    training: async (backend = usualBackend) => createRemoteTrainingEngine(await client(backend)),
    async [Symbol.asyncDispose]() {
      const all = [...clients.values()]
      clients.clear()
      await Promise.all(
        all.map((one) =>
          one.then(
            (started) => started.dispose(),
            () => undefined,
          ),
        ),
      )
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

function optionsOf({ directory, resourcesDirectory, niceness }: ComputeAssembly, backend: string): ComputeOptions {
  const resources = resourcesDirectory ?? resolve(import.meta.dirname, '../../resources')
  return {
    backend,
    models: { directory: directory.models, embedded: [join(resources, 'models', embeddedModelName)] },
    preparedWeights: { directory: directory.preparedWeights },
    niceness: niceness ?? 10,
  }
}
