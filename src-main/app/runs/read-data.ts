/** Training data for a model: files in, examples and what can be told of them out. */
import type { DataFile } from '#contracts/api/training.ts'
import { prepareData } from '#core/data/prepare-data.ts'
import type { PreparedData, PrepareInit } from '#core/data/prepared-data.ts'
import type { DataSource } from '#core/ports/data-source.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'

export interface ReadDataInit extends Pick<PrepareInit, 'objective' | 'description' | 'licence' | 'onProgress'> {
  /** As long as the model's context allows when left out. */
  readonly sequenceLength?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onBytes?: (progress: { readonly bytesDone: number; readonly bytesTotal: number }) => void
}

/** Throws `DataFormatError`, `StorageError`. */
export async function readData(
  data: Pick<DataSource, 'open'>,
  model: ModelHandle,
  files: readonly DataFile[],
  { sequenceLength, signal, onBytes, ...rest }: ReadDataInit = {},
): Promise<PreparedData> {
  const opened = await data.open(files, { ...(signal && { signal }), ...(onBytes && { onProgress: onBytes }) })
  const { contextLength } = model.manifest.config
  return await prepareData(opened, {
    ...rest,
    ...(signal && { signal }),
    tokenizer: await model.tokenizer(),
    note: (await model.trainingNote?.()) ?? null,
    sequenceLength: Math.min(sequenceLength ?? contextLength, contextLength),
  })
}
