/** Workers for tests, by both transports. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Engine } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import type { TrainingEngine } from '#core/ports/training-engine.ts'
import type { ComputeProcess } from '#engines/worker/channel.ts'
import { type ChildProcessInit, startChildProcess } from '#engines/worker/child-process.ts'
import { type ComputeClient, type ComputeClientInit, startComputeClient } from '#engines/worker/compute-client.ts'
import { createRemoteEngine } from '#engines/worker/remote-engine.ts'
import { createRemoteTrainingEngine } from '#engines/worker/remote-training-engine.ts'
import { startWorkerThread } from '#engines/worker/worker-thread.ts'
import { publishModel, readsSincePublished } from './published-models.ts'

export const transports = { 'a child process': startChildProcess, 'a thread': startWorkerThread } as const
/** A child process that may be held still. */
export const startSuspendable = (init: ChildProcessInit) => startChildProcess({ ...init, suspendable: true })
export type Start = (typeof transports)[keyof typeof transports]

export interface TestWorkers {
  readonly client: ComputeClient
  /** Publishes each model before it is loaded; afterwards the model's `reads` are those of the worker. */
  readonly engine: Engine
  /** Likewise; null for a worker that does not train. */
  readonly training: TrainingEngine | null
  /** Lets the workers find a model. */
  publish(model: ModelHandle): Promise<void>
  /** Those started so far, the last one last. */
  readonly started: readonly ComputeProcess[]
  dispose(): Promise<void>
}

export interface TestWorkersInit extends Partial<ComputeClientInit> {
  readonly entry?: string
  /** After the models' folder. */
  readonly args?: readonly string[]
}

export const entryOf = (name: string) => resolve(import.meta.dirname, name)

export async function startTestWorkers(
  start: Start,
  { entry = 'reference-worker.ts', args = [], ...init }: TestWorkersInit = {},
): Promise<TestWorkers> {
  const directory = mkdtempSync(join(tmpdir(), 'quiltbee-workers-'))
  const started: ComputeProcess[] = []
  const clock = { now: () => Date.now(), monotonicMs: () => performance.now() }
  const client = await startComputeClient(
    {
      clock,
      start() {
        const worker = start({ entry: entryOf(entry), args: [directory, ...args] })
        started.push(worker)
        return worker
      },
    },
    { name: 'test', ...init },
  )
  return {
    client,
    engine: publishing(createRemoteEngine(client), directory),
    training: publishingTraining(createRemoteTrainingEngine(client), directory),
    started,
    publish: (model) => publishModel(directory, model),
    async dispose() {
      await client.dispose()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function publishing(engine: Engine, directory: string): Engine {
  async function published<T>(model: ModelHandle & { readonly reads?: string[] }, load: () => Promise<T>): Promise<T> {
    await publishModel(directory, model)
    const { reads = [] } = model
    reads.length = 0
    try {
      return await load()
    } finally {
      reads.splice(0, reads.length, ...readsSincePublished(directory, model.manifest.digest))
    }
  }
  return {
    ...engine,
    loadSpan: (model, span, options) => published(model, () => engine.loadSpan(model, span, options)),
    loadEnds: (model, options) => published(model, () => engine.loadEnds(model, options)),
  }
}

function publishingTraining(training: TrainingEngine | null, directory: string): TrainingEngine | null {
  return (
    training && {
      ...training,
      async loadTrainee(model, init) {
        await publishModel(directory, model)
        return training.loadTrainee(model, init)
      },
    }
  )
}
