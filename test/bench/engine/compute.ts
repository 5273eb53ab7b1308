/** Our side as the product runs it: the engine in a compute worker, a process of its own. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { systemClock } from '#adapters/files/system-clock.ts'
import type { Engine, ModelEnds, SpanRunner, WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import type { TrainingEngine } from '#core/ports/training-engine.ts'
import { startChildProcess } from '#engines/worker/child-process.ts'
import { startComputeClient } from '#engines/worker/compute-client.ts'
import { createRemoteEngine } from '#engines/worker/remote-engine.ts'
import { createRemoteTrainingEngine } from '#engines/worker/remote-training-engine.ts'
import { toArguments } from '../../../src-main/workers/compute-options.ts'

export const backend = 'onnxruntime-cpu'

/** Where the worker finds models and keeps prepared weights. */
export interface ComputeFolders {
  readonly models: string
  readonly embedded?: readonly string[]
  readonly prepared: string
}

export interface BenchCompute extends AsyncDisposable {
  readonly engine: Engine
  readonly training: TrainingEngine
  memory(): Promise<WorkerMemory>
}

export interface WorkerMemory {
  readonly residentBytes: number
  /** The most that was resident since the worker started; null where the system does not say. */
  readonly peakBytes: number | null
}

/** With the owner's priority: llama.cpp runs with it too. */
export async function startCompute({ models, embedded = [], prepared }: ComputeFolders): Promise<BenchCompute> {
  const entry = resolve(import.meta.dirname, '../../../src-main/workers/compute.ts')
  const options = { backend, models: { directory: models, embedded: [...embedded] }, niceness: 0 }
  const args = toArguments({ ...options, preparedWeights: { directory: prepared } })
  let pid: number | null = null
  const start = () => {
    const worker = startChildProcess({ entry, args })
    pid = worker.pid
    return worker
  }
  const client = await startComputeClient({ start, clock: systemClock }, { name: backend })
  const training = createRemoteTrainingEngine(client)
  if (training === null) throw new Error(`${backend} does not train`)
  return {
    engine: createRemoteEngine(client),
    training,
    async memory() {
      const stats = await client.stats()
      if (stats === null) throw new Error('the compute worker is gone')
      return { residentBytes: stats.residentBytes, peakBytes: pid === null ? null : await peakOf(pid) }
    },
    [Symbol.asyncDispose]: () => client.dispose(),
  }
}

async function peakOf(pid: number): Promise<number | null> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
  return kibibytes === undefined ? null : Number(kibibytes) * 1024
}

/** A model ready to generate. */
export interface LoadedModel extends AsyncDisposable {
  readonly model: ModelHandle
  readonly runner: SpanRunner
  readonly ends: ModelEnds
}

export async function loadModel(
  engine: Engine,
  model: ModelHandle,
  options: { readonly threads: number; readonly format: WeightFormat },
): Promise<LoadedModel> {
  const runner = await engine.loadSpan(model, { start: 0, end: model.manifest.config.blockCount }, options)
  try {
    const ends = await engine.loadEnds(model, options)
    return {
      model,
      runner,
      ends,
      async [Symbol.asyncDispose]() {
        await Promise.all([runner.dispose(), ends.dispose()])
      },
    }
  } catch (error) {
    await runner.dispose()
    throw error
  }
}
