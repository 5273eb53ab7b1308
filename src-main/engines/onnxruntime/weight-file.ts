/**
 * A part of a model (a block, the head) as one file of weights in the form its graph takes them. Matrices that are
 * multiplied with the same input are one, rows one after the other.
 */

import { open } from 'node:fs/promises'
import { storedBytes } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { halfTable } from '#core/numerics/half-floats.ts'
import type { StoredTensor } from '#core/ports/model-store.ts'
import { type ElementType, elementBytes, elementCount, type OnnxWeight } from '../shared/onnx-model.ts'
import { dequantise, type QuantisedMatrix, quantise, quantisedSizes, relayQ40 } from '../shared/quantise.ts'
import { checkFinite, decodeWeights } from '../shared/read-weights.ts'
import type { MatrixFormat } from './matrix-format.ts'

/** A matrix of a part: (rows, columns). */
export interface PartMatrix {
  readonly name: string
  readonly rows: number
  readonly columns: number
  readonly format: MatrixFormat
}

export interface PartLayout {
  readonly matrices: readonly PartMatrix[]
  readonly weights: readonly OnnxWeight[]
  readonly byteLength: number
}

/** The runtime maps weights page by page. */
const pageBytes = 4096

export const codesOf = (matrix: string): string => `${matrix}.codes`
export const scalesOf = (matrix: string): string => `${matrix}.scales`

/** Lays matrices one after the other, each of their parts at a page's start. */
export function layOutPart(matrices: readonly PartMatrix[]): PartLayout {
  const weights: OnnxWeight[] = []
  let end = 0
  const place = (name: string, type: ElementType, shape: readonly number[]) => {
    weights.push({ name, type, shape, offsetBytes: end })
    end = Math.ceil((end + elementCount(shape) * elementBytes[type]) / pageBytes) * pageBytes
  }
  for (const { name, rows, columns, format } of matrices) {
    if (format.kind === 'floats') {
      place(name, format.type, [rows, columns])
    } else {
      const { bits, group } = format.quantisation
      const { groups } = quantisedSizes(rows, columns, format.quantisation)
      place(codesOf(name), 'uint8', [rows, groups / rows, (group * bits) / 8])
      place(scalesOf(name), 'float32', [groups])
    }
  }
  return { matrices, weights, byteLength: end }
}

/** Gives a matrix's stored tensors by its name, in row order, one at a time. */
export type PartSource = (name: string) => AsyncIterable<StoredTensor>
export type Append = (bytes: Uint8Array) => Promise<void>

/**
 * Writes the file of `layout`. Throws `ModelFormatError` for weights that are not finite, `ModelUnsupportedError` for those
 * that float16 cannot hold. At most one stored tensor and its converted form are in memory.
 */
export async function writePart(layout: PartLayout, source: PartSource, append: Append): Promise<void> {
  for (const matrix of layout.matrices) {
    if (matrix.format.kind === 'floats') await writeFloats(source(matrix.name), matrix.format.type, append)
    else await writeIntegers(matrix, source(matrix.name), append)
  }
}

async function writeFloats(pieces: AsyncIterable<StoredTensor>, type: 'float32' | 'float16', append: Append) {
  let written = 0
  for await (const piece of pieces) {
    const bytes = bytesOf(floatsAs(type, piece))
    await append(bytes)
    written += bytes.byteLength
  }
  await padToPage(written, append)
}

async function writeIntegers({ columns, format }: PartMatrix, pieces: AsyncIterable<StoredTensor>, append: Append) {
  if (format.kind !== 'integers') return
  const scales: Float32Array[] = []
  let written = 0
  for await (const piece of pieces) {
    for (const quantised of quantisePiece(piece, columns, format)) {
      scales.push(quantised.scales)
      await append(quantised.codes)
      written += quantised.codes.byteLength
    }
  }
  await padToPage(written, append)
  for (const part of scales) await append(bytesOf(part))
  await padToPage(
    scales.reduce((sum, part) => sum + part.byteLength, 0),
    append,
  )
}

/** Weights that are floats at a time: a head's would be four times as large as what becomes of them. */
const slabElements = 1 << 20

/** Stored 4-bit blocks of the same grouping are taken as they are; everything else is rounded anew, some rows at a time. */
function* quantisePiece(
  piece: StoredTensor,
  columns: number,
  { quantisation }: Extract<MatrixFormat, { kind: 'integers' }>,
): Generator<QuantisedMatrix> {
  if (piece.dtype === 'Q4_0' && quantisation.bits === 4 && quantisation.group === 32) {
    const relayed = relayQ40(piece.bytes, halfTable())
    checkFinite(relayed.scales, (at, scale) => new ModelFormatError(piece.name, `the scale of block ${at} is ${scale}`))
    yield relayed
    return
  }
  const rowBytes = storedBytes(piece.dtype, columns)
  const slabBytes = Math.max(1, Math.floor(slabElements / columns)) * rowBytes
  for (let start = 0; start < piece.bytes.byteLength; start += slabBytes) {
    const bytes = piece.bytes.subarray(start, start + slabBytes)
    const values = decodeWeights({ ...piece, bytes }, (start / rowBytes) * columns)
    yield quantise(values, values.length / columns, columns, quantisation)
  }
}

function floatsAs(type: 'float32' | 'float16', piece: StoredTensor): Float32Array | Float16Array | Uint8Array {
  const values = decodeWeights(piece)
  if (type === 'float32') return values
  return piece.dtype === 'F16' ? piece.bytes : narrow(piece.name, values)
}

function narrow(name: string, values: Float32Array): Float16Array {
  const halves = new Float16Array(values)
  checkFinite(halves, (at) => {
    const what = `${name} has weights that float16 cannot hold: element ${at} is ${values[at]}`
    return new ModelUnsupportedError(what, { tensor: name })
  })
  return halves
}

function bytesOf(array: Float32Array | Float16Array | Uint8Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

async function padToPage(written: number, append: Append): Promise<void> {
  const rest = written % pageBytes
  if (rest !== 0) await append(new Uint8Array(pageBytes - rest))
}

/** A matrix as float32 (rows, columns), from the file of its layout. */
export async function readMatrix(path: string, layout: PartLayout, name: string): Promise<Float32Array> {
  const matrix = layout.matrices.find((candidate) => candidate.name === name)
  if (!matrix) throw new RangeError(`no matrix ${name}`)
  await using file = await open(path)
  const read = async (weight: string): Promise<Uint8Array<ArrayBuffer>> => {
    const placed = layout.weights.find((candidate) => candidate.name === weight)
    if (!placed) throw new RangeError(`no weight ${weight}`)
    const bytes = new Uint8Array(elementCount(placed.shape) * elementBytes[placed.type])
    const { bytesRead } = await file.read(bytes, 0, bytes.length, placed.offsetBytes)
    if (bytesRead !== bytes.length) throw new RangeError(`${path} ends within ${weight}`)
    return bytes
  }
  if (matrix.format.kind === 'integers') {
    const codes = await read(codesOf(name))
    const scales = new Float32Array((await read(scalesOf(name))).buffer)
    return dequantise({ codes, scales }, matrix.rows, matrix.columns, matrix.format.quantisation)
  }
  const bytes = await read(name)
  if (matrix.format.type === 'float32') return new Float32Array(bytes.buffer)
  return Float32Array.from(new Float16Array(bytes.buffer))
}
