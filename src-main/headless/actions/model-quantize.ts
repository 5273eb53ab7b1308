/** Prepares a model's weights in a format before they are needed: the same files that hosting it would make. */
import { availableParallelism } from 'node:os'
import { createDataDirectory, type DataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { openLogFile } from '#adapters/files/log-file.ts'
import { assembleCompute, usualBackend } from '#assembly/compute.ts'
import { openModelStore } from '#assembly/model-store.ts'
import { blockWeightBytes, modelWeightBytes, storedBytes } from '#core/models/block-size.ts'
import type { Engine, LoadOptions, WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { formatBytes, print, printJson } from '../output.ts'
import { cancellable, createProgressLine, type WorkProgress } from './model-progress.ts'

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
  const { name, digest } = model.manifest
  const startedMs = performance.now()
  const bytesAfter = await cancellable((signal) => prepareAll(directory, model, weights, signal))
  const seconds = (performance.now() - startedMs) / 1000
  const bytesBefore = storedBytes(model.manifest)
  if (json) return printJson({ name, digest, weights, bytesBefore, bytesAfter, seconds })
  const sizes = `${formatBytes(bytesBefore)} as stored, ${formatBytes(bytesAfter)} as ${weights}`
  print(`Prepared ${name}: ${sizes}, in ${Number(seconds.toPrecision(3))} s.`)
}

async function prepareAll(
  directory: DataDirectory,
  model: ModelHandle,
  weights: WeightFormat,
  signal: AbortSignal,
): Promise<number> {
  await using parts = new AsyncDisposableStack()
  const logger = parts.adopt(openLogFile(directory.logFile, 'info'), (log) => log.close())
  const compute = parts.use(assembleCompute({ directory, logger }))
  const line = createProgressLine()
  const options = { threads: availableParallelism(), format: weights, signal }
  const show = (progress: WorkProgress): void => line.show(`Preparing ${weights} weights`, progress)
  return await prepareParts(await compute.engine(usualBackend), model, options, show).finally(line.end)
}

/** Loads the parts one after the other and drops each again: never more than one block is in memory. -> bytes in memory */
async function prepareParts(
  engine: Engine,
  model: ModelHandle,
  options: LoadOptions & { readonly format: WeightFormat },
  show: (progress: WorkProgress) => void,
): Promise<number> {
  const { config } = model.manifest
  const bytesTotal = modelWeightBytes(config, options.format)
  let bytes = 0
  for (let block = 0; block < config.blockCount; block++) {
    show({ bytesDone: block * blockWeightBytes(config, options.format), bytesTotal })
    const runner = await engine.loadSpan(model, { start: block, end: block + 1 }, options)
    bytes += runner.weightBytes
    await runner.dispose()
  }
  show({ bytesDone: config.blockCount * blockWeightBytes(config, options.format), bytesTotal })
  const ends = await engine.loadEnds(model, options)
  bytes += ends.weightBytes
  await ends.dispose()
  show({ bytesDone: bytesTotal, bytesTotal })
  return bytes
}
