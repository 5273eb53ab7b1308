/**
 * The container: magic, version, counts, metadata, list of tensors, then the tensors' bytes, each at a multiple of the
 * alignment. A layout that was read can be trusted: every tensor lies inside the file, in whole blocks of a type that is
 * known, and no two share a byte.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { type Dtype, dtypeBlocks, dtypes } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import type { OpenFile } from './files.ts'
import { createGgufCursor, type GgufCursor } from './gguf-cursor.ts'
import { createGgufFields, type GgufFields } from './gguf-fields.ts'
import { ggufLimits, readGgufMetadata } from './gguf-metadata.ts'
import { ggufTypeNames } from './gguf-types.ts'
import { readGgufCount, readGgufString, readGgufUint32, readGgufUint64 } from './gguf-values.ts'
import { maximumTensors } from './safetensors.ts'

/** `GGUF` */
export const ggufMagic = Uint8Array.of(0x47, 0x47, 0x55, 0x46)

/** One tensor's place: `[begin, end)` in bytes from the start of the file. */
export interface GgufTensor {
  readonly name: string
  readonly dtype: Dtype
  /** Rows first, as everywhere here; GGUF writes the dimensions the other way round. */
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

export interface GgufLayout {
  readonly fields: GgufFields
  /** By name, in the order of the bytes. */
  readonly tensors: ReadonlyMap<string, GgufTensor>
}

const leastKeyBytes = 8 + 4 + 1
const leastTensorBytes = 8 + 4 + 8 + 4 + 8
const defaultAlignment = 32
const maximumAlignment = 1 << 16

/** Reads everything but the tensors' bytes. Throws `ModelFormatError`, or `ModelUnsupportedError` for what is well-formed. */
export async function readGgufLayout(file: OpenFile): Promise<GgufLayout> {
  const cursor = createGgufCursor(file)
  await readVersion(cursor)
  const tensorCount = await readGgufCount(cursor, 'tensor count', maximumTensors, leastTensorBytes)
  const keyCount = await readGgufCount(cursor, 'metadata count', ggufLimits.keys, leastKeyBytes)
  const fields = createGgufFields(await readGgufMetadata(cursor, keyCount), file.label)
  const alignment = checkedAlignment(fields, file.label)
  const entries: TensorInfo[] = []
  for (let index = 0; index < tensorCount; index++) entries.push(await readTensorInfo(cursor, index))
  const base = Math.ceil(cursor.position / alignment) * alignment
  return { fields, tensors: placeTensors(entries, { base, alignment, file }) }
}

async function readVersion(cursor: GgufCursor): Promise<void> {
  await cursor.need(4, 'magic')
  const { view, at } = cursor.take(4)
  if (ggufMagic.some((byte, index) => view.getUint8(at + index) !== byte)) {
    throw cursor.wrong('magic', 'not a GGUF file', 0)
  }
  const version = await readGgufUint32(cursor, 'version')
  if (version === 2 || version === 3) return
  if (version !== 0 && (version & 0xffff) === 0) throw new ModelUnsupportedError('big-endian GGUF')
  throw new ModelUnsupportedError(`GGUF version ${version}`)
}

function checkedAlignment(fields: GgufFields, label: string): number {
  const alignment = fields.count('general.alignment') ?? defaultAlignment
  const isPowerOfTwo = alignment > 0 && alignment <= maximumAlignment && (alignment & (alignment - 1)) === 0
  if (!isPowerOfTwo) throw new ModelFormatError(`${label}: general.alignment`, `${alignment} is not a power of two`)
  return alignment
}

interface TensorInfo {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
  /** From the beginning of the tensors' bytes. */
  readonly offset: number
  /** Where it is described, for messages. */
  readonly at: number
}

async function readTensorInfo(cursor: GgufCursor, index: number): Promise<TensorInfo> {
  const at = cursor.position
  const name = await readGgufString(cursor, `name of tensor ${index}`, 256)
  const field = `tensor ${name}`
  const dimensions = await readDimensions(cursor, field)
  const type = await readGgufUint32(cursor, `type of ${field}`)
  const typeName = ggufTypeNames.get(type) ?? `type ${type}`
  const dtype = dtypes.find((known) => known === typeName)
  if (dtype === undefined) {
    throw new ModelUnsupportedError(`tensor type ${typeName} (${name.slice(0, 256)})`, { tensor: name })
  }
  return { name, dtype, shape: dimensions.reverse(), offset: await readGgufUint64(cursor, `offset of ${field}`), at }
}

async function readDimensions(cursor: GgufCursor, field: string): Promise<number[]> {
  const at = cursor.position
  const count = await readGgufUint32(cursor, `dimensions of ${field}`)
  if (count < 1 || count > 4) throw cursor.wrong(field, `${count} dimensions, expected 1 to 4`, at)
  const dimensions: number[] = []
  for (let index = 0; index < count; index++) {
    const size = await readGgufUint64(cursor, `dimensions of ${field}`)
    if (size < 1 || size > 2 ** 31) throw cursor.wrong(field, `a dimension of ${size}`, cursor.position - 8)
    dimensions.push(size)
  }
  return dimensions
}

interface DataSection {
  readonly base: number
  readonly alignment: number
  readonly file: OpenFile
}

/** Pure: where the tensors lie. */
function placeTensors(entries: readonly TensorInfo[], section: DataSection): ReadonlyMap<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>()
  const placed = entries.map((entry) => ({ ...placeTensor(entry, section), at: entry.at }))
  placed.sort((a, b) => a.begin - b.begin)
  let reached = section.base
  for (const { at, ...tensor } of placed) {
    const where = `${section.file.label}: tensor ${tensor.name} at byte ${at}`
    if (tensors.has(tensor.name)) throw new ModelFormatError(where, 'the name occurs twice')
    if (tensor.begin < reached) throw new ModelFormatError(where, 'overlaps another tensor')
    tensors.set(tensor.name, tensor)
    reached = tensor.end
  }
  return tensors
}

function placeTensor({ name, dtype, shape, offset, at }: TensorInfo, section: DataSection): GgufTensor {
  const { base, alignment, file } = section
  const where = `${file.label}: tensor ${name} at byte ${at}`
  if (offset % alignment !== 0) throw new ModelFormatError(where, `offset ${offset} is not a multiple of ${alignment}`)
  const { elements, bytes } = dtypeBlocks[dtype]
  if ((shape.at(-1) ?? 0) % elements !== 0) {
    throw new ModelFormatError(where, `rows of ${shape.at(-1)} are not whole blocks of ${dtype} (${elements})`)
  }
  const size = (shape.reduce((product, length) => product * BigInt(length), 1n) / BigInt(elements)) * BigInt(bytes)
  const end = BigInt(base) + BigInt(offset) + size
  if (end > BigInt(file.sizeBytes)) {
    throw new ModelFormatError(where, `ends at byte ${end}, the file at ${file.sizeBytes}`)
  }
  return { name, dtype, shape, begin: base + offset, end: Number(end) }
}
