/**
 * Where in a published model's safetensors files single tensors lie, found by reading the headers alone. A header is only
 * believed as far as it agrees with the manifest; what its offsets lead to is checked by digest afterwards.
 * Format: https://huggingface.co/docs/safetensors
 */
import * as z from 'zod'
import { type ModelManifest, storedBytes, type TensorEntry } from '#contracts/model/manifest.ts'
import { DownloadError, ModelFormatError } from '#core/errors.ts'
import type { HubFile, HubModel } from '#core/ports/model-hub.ts'
import type { Connection } from './connection.ts'
import { type ByteRange, type ReadOptions, readBytes } from './read-range.ts'
import { checkedAnswer, parseJson, readSmallFile } from './small-files.ts'

export const maximumHeaderBytes = 8 << 20
const maximumIndexBytes = 16 << 20
const lengthBytes = 8

export interface TensorPlace {
  readonly tensor: TensorEntry
  readonly file: HubFile
  readonly range: ByteRange
}

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string().max(512)) })
const offset = z.int().min(0)
const tensorSchema = z.object({
  dtype: z.string().max(32),
  shape: z.array(offset).max(8),
  data_offsets: z.tuple([offset, offset]),
})

/** In the order of `names`. Throws `ModelFormatError` for one that the manifest does not have, `DownloadError` for the rest. */
export async function findTensors(
  connection: Connection,
  model: HubModel,
  { manifest, names }: { readonly manifest: ModelManifest; readonly names: readonly string[] },
  options: ReadOptions,
): Promise<TensorPlace[]> {
  const entries = new Map(manifest.tensors.map((tensor) => [tensor.name, tensor]))
  const fileOf = await findFiles(connection, model, options)
  const headers = new Map<string, Header>()
  const places: TensorPlace[] = []
  for (const name of names) {
    const tensor = entries.get(name)
    if (tensor === undefined) throw new ModelFormatError(manifest.name, `there is no tensor ${name.slice(0, 256)}`)
    const file = fileOf(name)
    const header = headers.get(file.path) ?? (await readHeader(connection, model, file, options))
    headers.set(file.path, header)
    places.push(placeOf(tensor, file, header))
  }
  return places
}

async function findFiles(
  connection: Connection,
  model: HubModel,
  options: ReadOptions,
): Promise<(tensorName: string) => HubFile> {
  const fileAt = (path: string) => model.files.find((file) => file.path === path)
  const single = fileAt('model.safetensors')
  if (single !== undefined) return () => single
  const index = fileAt('model.safetensors.index.json')
  if (index === undefined) throw new DownloadError(model.repository, 'its weights are not in safetensors files')
  const bytes = await readSmallFile(connection, model, index, maximumIndexBytes, options)
  const shards = new Map(
    Object.entries(checkedAnswer(index.path, indexSchema, parseJson(index.path, bytes)).weight_map),
  )
  return (name) => {
    const file = fileAt(shards.get(name) ?? '')
    if (file === undefined) throw new DownloadError(index.path, `tensor ${name.slice(0, 256)} is in none of the files`)
    return file
  }
}

interface Header {
  readonly tensors: Readonly<Record<string, unknown>>
  /** Where the tensors' bytes begin. */
  readonly base: number
}

async function readHeader(
  connection: Connection,
  model: HubModel,
  file: HubFile,
  options: ReadOptions,
): Promise<Header> {
  if (file.sizeBytes < lengthBytes) throw new DownloadError(file.path, 'too short for a header')
  const range = { begin: 0, end: lengthBytes, maximumBytes: lengthBytes }
  const bytes = await readBytes(connection, model, file, range, options)
  const length = new DataView(bytes.buffer).getBigUint64(0, true)
  if (length > BigInt(Math.min(maximumHeaderBytes, file.sizeBytes - lengthBytes))) {
    throw new DownloadError(file.path, `its header claims ${length} bytes`)
  }
  const base = lengthBytes + Number(length)
  const whole = { begin: lengthBytes, end: base, maximumBytes: maximumHeaderBytes }
  const json = parseJson(file.path, await readBytes(connection, model, file, whole, options))
  return { tensors: checkedAnswer(file.path, z.record(z.string(), z.unknown()), json), base }
}

/** Pure: the place of one tensor, agreeing with the manifest in type and shape and lying inside the file. */
export function placeOf(tensor: TensorEntry, file: HubFile, { tensors, base }: Header): TensorPlace {
  const where = `${file.path}: tensor ${tensor.name}`
  const stated = Object.hasOwn(tensors, tensor.name) ? tensors[tensor.name] : undefined
  if (stated === undefined) throw new DownloadError(where, 'is not there')
  const { dtype, shape, data_offsets } = checkedAnswer(where, tensorSchema, stated)
  const range = { begin: base + data_offsets[0], end: base + data_offsets[1] }
  if (dtype !== tensor.dtype || shape.join() !== tensor.shape.join()) {
    throw new DownloadError(
      where,
      `${dtype} of shape [${shape}], the manifest has ${tensor.dtype} of [${tensor.shape}]`,
    )
  }
  const bytes = storedBytes(
    tensor.dtype,
    shape.reduce((product, size) => product * size, 1),
  )
  if (range.end - range.begin !== bytes || range.end > file.sizeBytes) {
    throw new DownloadError(where, `bytes ${range.begin} to ${range.end} do not hold it`)
  }
  return { tensor, file, range }
}
