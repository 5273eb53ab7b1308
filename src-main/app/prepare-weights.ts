import { blockWeightBytes, modelWeightBytes } from '#core/models/block-size.ts'
import type { Engine, WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'

export interface PrepareOptions {
  readonly threads: number
  readonly format: WeightFormat
  readonly signal?: AbortSignal
  /** Of the weights in memory, by what the format takes. */
  readonly onProgress?: (progress: { readonly bytesDone: number; readonly bytesTotal: number }) => void
}

/**
 * Has the engine prepare all parts of a model, as it does when it loads them, so that later loads find them ready. The
 * parts are loaded one after the other and dropped: never more than one is in memory. What is prepared already is only
 * checked. -> bytes that all parts take once loaded
 */
export async function prepareWeights(engine: Engine, model: ModelHandle, options: PrepareOptions): Promise<number> {
  const { onProgress, ...load } = options
  const { config } = model.manifest
  const blockBytes = blockWeightBytes(config, options.format)
  const bytesTotal = modelWeightBytes(config, options.format)
  let weightBytes = 0
  for (let block = 0; block < config.blockCount; block++) {
    onProgress?.({ bytesDone: block * blockBytes, bytesTotal })
    weightBytes += await loadAndDrop(() => engine.loadSpan(model, { start: block, end: block + 1 }, load))
  }
  onProgress?.({ bytesDone: config.blockCount * blockBytes, bytesTotal })
  weightBytes += await loadAndDrop(() => engine.loadEnds(model, load))
  onProgress?.({ bytesDone: bytesTotal, bytesTotal })
  return weightBytes
}

async function loadAndDrop(load: () => Promise<{ weightBytes: number; dispose(): Promise<void> }>): Promise<number> {
  const part = await load()
  await part.dispose()
  return part.weightBytes
}
