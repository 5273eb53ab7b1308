/**
 * safetensors: 8 bytes of header length, a JSON header, then the tensors' bytes. The reader is stricter than the format
 * asks: every number is checked against the file before anything is allocated for it, and the tensors must tile the
 * rest of the file without gap or overlap, so that a layout which passed can be read blindly.
 * Format: https://huggingface.co/docs/safetensors
 */
import * as z from 'zod'
import { type Dtype, dtypeBlocks, dtypes } from '#contracts/model/manifest.ts'
import { ModelFormatError } from '#core/errors.ts'
import { parseBoundedJson } from './bounded-json.ts'
import { type OpenFile, type RangeOptions, readRange } from './files.ts'

export const maximumHeaderBytes = 8 << 20
export const maximumTensors = 20_000
const lengthBytes = 8

/** One tensor's place: `[begin, end)` in bytes from the start of the file. */
export interface SafetensorsEntry {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

/** By name, in the order of the bytes. */
export type SafetensorsLayout = ReadonlyMap<string, SafetensorsEntry>

/** Reads and checks the header. Throws `ModelFormatError`. */
export async function readSafetensorsLayout(file: OpenFile): Promise<SafetensorsLayout> {
  const { sizeBytes, label } = file
  if (sizeBytes < lengthBytes) throw new ModelFormatError(label, `${sizeBytes} bytes are too few for a header`)
  const headerBytes = checkedHeaderLength(await readRange(file, 0, lengthBytes), sizeBytes, label)
  const header = await readRange(file, lengthBytes, lengthBytes + headerBytes)
  return parseSafetensorsHeader(header, { dataBytes: sizeBytes - lengthBytes - headerBytes, label })
}

/** Reads one tensor's bytes. */
export function readSafetensorsTensor(
  file: OpenFile,
  entry: SafetensorsEntry,
  options: RangeOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  return readRange(file, entry.begin, entry.end, options)
}

/** Pure: the layout that a header (without its length) describes over `dataBytes` of tensors. */
export function parseSafetensorsHeader(
  header: Uint8Array,
  { dataBytes, label }: { dataBytes: number; label: string },
): SafetensorsLayout {
  const { __metadata__: _unused, ...tensors } = parseHeaderJson(header, label)
  const count = Object.keys(tensors).length
  if (count > maximumTensors) throw new ModelFormatError(label, `${count} tensors, at most ${maximumTensors} are read`)
  const base = lengthBytes + header.length
  const entries = Object.entries(tensors).map(([name, tensor]) => checkedEntry(name, tensor, base, label))
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end)
  checkTiling(entries, base, base + dataBytes, label)
  return new Map(entries.map((entry) => [entry.name, entry]))
}

function checkedHeaderLength(bytes: Uint8Array, sizeBytes: number, label: string): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)
  if (length > BigInt(maximumHeaderBytes)) {
    throw new ModelFormatError(label, `the header claims ${length} bytes, at most ${maximumHeaderBytes} are read`)
  }
  if (length > BigInt(sizeBytes - lengthBytes)) {
    throw new ModelFormatError(label, `the header claims ${length} bytes, the file has ${sizeBytes}`)
  }
  return Number(length)
}

const offset = z.int().min(0)
const tensorSchema = z.strictObject({
  dtype: z.string().max(32),
  shape: z.array(z.int().min(0)).max(8),
  data_offsets: z.tuple([offset, offset]),
})
const headerSchema = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(tensorSchema)

type HeaderTensor = z.infer<typeof tensorSchema>

/** A tensor is three containers with a name, a dtype, two offsets and up to eight dimensions; the rest is metadata. */
const headerLimits = { depth: 3, values: 16 * maximumTensors }

function parseHeaderJson(header: Uint8Array, label: string): z.infer<typeof headerSchema> {
  const parsed = headerSchema.safeParse(parseJson(header, label))
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new ModelFormatError(`${label}: header ${issue?.path.join('.')}`.trimEnd(), issue?.message ?? 'malformed')
}

function parseJson(header: Uint8Array, label: string): unknown {
  try {
    return parseBoundedJson(header, headerLimits)
  } catch (cause) {
    throw new ModelFormatError(`${label}: header`, cause instanceof Error ? cause.message : 'not JSON', { cause })
  }
}

function checkedEntry(name: string, tensor: HeaderTensor, base: number, label: string): SafetensorsEntry {
  const [begin, end] = tensor.data_offsets
  const where = `${label}: tensor ${name.slice(0, 256)}`
  const dtype = dtypes.find((known) => known === tensor.dtype)
  if (dtype === undefined) {
    throw new ModelFormatError(where, `dtype ${tensor.dtype} is not one of ${dtypes.join(', ')}`)
  }
  if (end < begin || exactBytes(dtype, tensor.shape) !== BigInt(end - begin)) {
    throw new ModelFormatError(where, `offsets ${begin} to ${end} do not hold ${dtype} of shape [${tensor.shape}]`)
  }
  return { name, dtype, shape: tensor.shape, begin: base + begin, end: base + end }
}

/** Bytes of a tensor, however large its shape claims it is; null when its rows are not whole blocks. */
function exactBytes(dtype: Dtype, shape: readonly number[]): bigint | null {
  const { elements, bytes } = dtypeBlocks[dtype]
  if ((shape.at(-1) ?? 1) % elements !== 0) return null
  return shape.reduce((product, size) => product * BigInt(size), BigInt(bytes)) / BigInt(elements)
}

/** Sorted entries follow one another exactly, from the first byte after the header to the last of the file. */
function checkTiling(entries: readonly SafetensorsEntry[], base: number, end: number, label: string): void {
  let reached = base
  for (const entry of entries) {
    if (entry.begin !== reached) {
      const what = entry.begin < reached ? 'overlaps the tensor before it' : 'leaves a gap before it'
      throw new ModelFormatError(`${label}: tensor ${entry.name.slice(0, 256)}`, `at byte ${entry.begin}: ${what}`)
    }
    reached = entry.end
  }
  if (reached !== end) throw new ModelFormatError(label, `the tensors end at byte ${reached}, the file at ${end}`)
}
