/** Single tensors of a published model, each read by its byte range and checked against a manifest. */
import { createHash } from 'node:crypto'
import { DownloadError } from '#core/errors.ts'
import type { FetchTensorsOptions, HubModel } from '#core/ports/model-hub.ts'
import type { StoredTensor } from '#core/ports/model-store.ts'
import type { Connection } from './connection.ts'
import { readRange } from './read-range.ts'
import { findTensors, type TensorPlace } from './tensor-places.ts'

/** One tensor is in memory at a time; a head of 256,000 words by 8,192 numbers of two bytes is just below. */
export const maximumTensorBytes = 4 * 2 ** 30

export async function* fetchTensors(
  connection: Connection,
  model: HubModel,
  { manifest, names, signal, onProgress }: FetchTensorsOptions,
): AsyncGenerator<StoredTensor, void, undefined> {
  const places = await findTensors(connection, model, { manifest, names }, { signal })
  const bytesTotal = places.reduce((total, { range }) => total + range.end - range.begin, 0)
  let bytesDone = 0
  const onBytes = (count: number) => {
    bytesDone += count
    onProgress?.({ bytesDone, bytesTotal })
  }
  for (const place of places) yield await fetchTensor(connection, model, place, { signal, onBytes })
}

async function fetchTensor(
  connection: Connection,
  model: HubModel,
  { tensor, file, range }: TensorPlace,
  { signal, onBytes }: { readonly signal: AbortSignal | undefined; readonly onBytes: (count: number) => void },
): Promise<StoredTensor> {
  const where = `${file.path}: tensor ${tensor.name}`
  const length = range.end - range.begin
  if (length > maximumTensorBytes)
    throw new DownloadError(where, `${length} bytes, at most ${maximumTensorBytes} are read`)
  const bytes = new Uint8Array(length)
  const hash = createHash('sha256')
  let filled = 0
  const fill = (chunk: Uint8Array) => {
    bytes.set(chunk, filled)
    hash.update(chunk)
    filled += chunk.length
    onBytes(chunk.length)
  }
  await readRange(connection, model, file, range, fill, { signal })
  if (hash.digest('hex') !== tensor.sha256) {
    throw new DownloadError(where, 'the bytes that came have another SHA-256 than the manifest states')
  }
  return { name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, bytes }
}
