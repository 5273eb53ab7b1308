/** Prepares a model's weights in a format before they are needed: the same files that hosting it would make. */
import { availableParallelism } from 'node:os'
import { createDataDirectory, type DataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { openLogFile } from '#adapters/files/log-file.ts'
import { summariseModel } from '#app/model-summary.ts'
import { prepareWeights } from '#app/prepare-weights.ts'
import { assembleCompute, usualBackend } from '#assembly/compute.ts'
import { openModelStore } from '#assembly/model-store.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { formatBytes, print, printJson } from '../output.ts'
import { cancellable, createProgressLine } from './model-progress.ts'

export interface QuantizeOptions {
  readonly weights: WeightFormat
  readonly json?: true
}

export async function quantizeModel(nameOrDigest: string, { weights, json }: QuantizeOptions): Promise<void> {
  await using parts = new AsyncDisposableStack()
  const directory = dataDirectory()
  createDataDirectory(directory)
  const model = await openModelStore(directory).open(nameOrDigest)
  parts.defer(() => model.close())
  const { name, digest, sizeBytes: bytesBefore } = summariseModel(model.manifest)
  const startedMs = performance.now()
  const bytesAfter = await cancellable((signal) => prepareAll(directory, model, weights, signal))
  const seconds = (performance.now() - startedMs) / 1000
  if (json) return printJson({ name, digest, weights, bytesBefore, bytesAfter, seconds })
  const sizes = `${formatBytes(bytesBefore)} as stored, ${formatBytes(bytesAfter)} as ${weights}`
  print(`Prepared ${name}: ${sizes}, in ${Number(seconds.toPrecision(3))} s.`)
}

/** -> bytes in memory once loaded */
async function prepareAll(
  directory: DataDirectory,
  model: ModelHandle,
  format: WeightFormat,
  signal: AbortSignal,
): Promise<number> {
  await using parts = new AsyncDisposableStack()
  const logger = parts.adopt(openLogFile(directory.logFile, 'info'), (log) => log.close())
  const compute = parts.use(assembleCompute({ directory, logger }))
  const line = parts.adopt(createProgressLine(), ({ end }) => end())
  const engine = await compute.engine(usualBackend)
  return await prepareWeights(engine, model, {
    threads: availableParallelism(),
    format,
    signal,
    onProgress: (progress) => line.show(`Preparing ${format} weights`, progress),
  })
}
