/**
 * Places in a tensor as bytes: the first byte says which codec wrote the rest (`docs/formats/patch-file-codecs.md`).
 *
 *     0 full: all places, nothing follows     1 Rice: gaps, for places at random       2 row-major: gaps, arithmetic-coded
 *     3 cells: margins and cells, arithmetic-coded                        4 sorted columns: margins and gaps, for large matrices
 *
 * Which one is best depends on the mask. Random ones cost log2 C(n, k) bits whatever one does. A FISH mask gathers in few
 * rows and columns: after their counts it takes a third of that bound.
 */
import { PatchFormatError } from './errors.ts'
import { cellsFit, codeCells } from './indices/cells.ts'
import { estimateMarginBits, estimateRowMajorBits } from './indices/estimates.ts'
import { fewerCount, fewerOf, setOfFewer } from './indices/fewer.ts'
import { asMatrix, codeMargins, countMargins, type Margins, marginsFit } from './indices/margins.ts'
import { type BitCoder, BitDecoder, BitEncoder } from './indices/range-coder.ts'
import { decodeRice, encodeRice, planRice, type RicePlan } from './indices/rice.ts'
import { codeRowMajor } from './indices/row-major.ts'
import { codeSortedColumns } from './indices/sorted-columns.ts'

export const indexCodecs = { full: 0, rice: 1, rowMajor: 2, cells: 3, sortedColumns: 4 } as const

/** Up to so many entries every codec is tried; above, those whose estimate promises something. */
const triedEntries = 4096
const mostPlaces = 2 ** 32

/** Of the codecs, the fastest within a hundredth of the smallest. Throws `PatchFormatError` for what is no mask of `shape`. */
export function encodeIndices(indices: Uint32Array, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const places = placesOf(shape)
  checkMask(indices, places)
  if (indices.length === places) return Uint8Array.of(indexCodecs.full)
  const fewer = fewerOf(indices, places)
  const rice = planRice(fewer)
  const written = [tryRowMajor(fewer, places, rice), tryMargins(indices, shape, rice)].filter((bytes) => bytes !== null)
  const smallest = Math.min(rice.bytes + 1, ...written.map(({ length }) => length))
  const good = (length: number) => 100 * length <= 101 * smallest
  const chosen = good(rice.bytes + 1) ? undefined : written.find(({ length }) => good(length))
  return chosen ?? withCodec(indexCodecs.rice, encodeRice(fewer, rice))
}

/**
 * A new array of `entries` strictly ascending places below the product of `shape`. Throws `PatchFormatError` when `bytes` are not
 * those of such a mask, to the last bit. Allocates 4 bytes an entry, and a few for each row and column where these are few.
 */
export function decodeIndices(
  bytes: Uint8Array,
  { shape, entries }: { readonly shape: readonly number[]; readonly entries: number },
): Uint32Array<ArrayBuffer> {
  const places = placesOf(shape)
  if (!Number.isInteger(entries) || entries < 1 || entries > places) {
    throw new PatchFormatError('entries', `${entries} of ${places} places`)
  }
  const rest = bytes.subarray(1)
  switch (bytes[0]) {
    case indexCodecs.full:
      return allPlaces(rest, places, entries)
    case indexCodecs.rice:
      return setOfFewer(decodeRice(rest, { places, entries: fewerCount(places, entries) }), { places, entries })
    case indexCodecs.rowMajor:
      return setOfFewer(decodeRowMajor(rest, { places, entries: fewerCount(places, entries) }), { places, entries })
    case indexCodecs.cells:
    case indexCodecs.sortedColumns:
      return decodeMargins(rest, bytes[0], { shape, entries })
    default:
      throw new PatchFormatError('indices', bytes.length === 0 ? 'are missing' : `are of unknown codec ${bytes[0]}`)
  }
}

function placesOf(shape: readonly number[]): number {
  const places = shape.reduce((product, extent) => product * extent, 1)
  const isShape = shape.length > 0 && shape.every((extent) => Number.isInteger(extent) && extent >= 1)
  if (!isShape || places > mostPlaces)
    throw new PatchFormatError('shape', `(${shape.join(', ')}) is not one of a tensor`)
  return places
}

function checkMask(indices: Uint32Array, places: number): void {
  if (indices.length === 0) throw new PatchFormatError('indices', 'are none')
  for (let i = 1; i < indices.length; i++) {
    if ((indices[i] as number) <= (indices[i - 1] as number)) {
      throw new PatchFormatError(`index ${i}`, `${indices[i]} does not come after ${indices[i - 1]}`)
    }
  }
  const last = indices[indices.length - 1] as number
  if (last >= places) throw new PatchFormatError('indices', `${last} is outside of ${places} places`)
}

function tryRowMajor(indices: Uint32Array, places: number, rice: RicePlan): Uint8Array<ArrayBuffer> | null {
  if (indices.length > triedEntries && !promises(estimateRowMajorBits(indices), rice)) return null
  const coder = new BitEncoder(rice.bytes)
  codeRowMajor(coder, indices, places)
  return coder.overLimit ? null : withCodec(indexCodecs.rowMajor, coder.finish())
}

function tryMargins(indices: Uint32Array, shape: readonly number[], rice: RicePlan): Uint8Array<ArrayBuffer> | null {
  const matrix = asMatrix(shape)
  if (!marginsFit(matrix, indices.length)) return null
  const margins = countMargins(indices, matrix)
  if (indices.length > triedEntries && !promises(estimateMarginBits(margins, indices.length), rice)) return null
  const codec = cellsFit(margins, indices.length) ? indexCodecs.cells : indexCodecs.sortedColumns
  const coder = new BitEncoder(rice.bytes)
  codeMargins(coder, margins, indices.length)
  codePlaces(codec, coder, indices.slice(), margins)
  return coder.overLimit ? null : withCodec(codec, coder.finish())
}

function promises(bits: number, rice: RicePlan): boolean {
  return 100 * bits < 99 * 8 * rice.bytes
}

function codePlaces(codec: 3 | 4, coder: BitCoder, indices: Uint32Array, margins: Margins): void {
  if (codec === indexCodecs.cells) codeCells(coder, indices, margins)
  else codeSortedColumns(coder, indices, margins)
}

function decodeRowMajor(
  bytes: Uint8Array,
  { places, entries }: { readonly places: number; readonly entries: number },
): Uint32Array<ArrayBuffer> {
  const coder = new BitDecoder(bytes)
  const indices = new Uint32Array(entries)
  codeRowMajor(coder, indices, places)
  coder.finish()
  return indices
}

function decodeMargins(
  bytes: Uint8Array,
  codec: 3 | 4,
  { shape, entries }: { readonly shape: readonly number[]; readonly entries: number },
): Uint32Array<ArrayBuffer> {
  const matrix = asMatrix(shape)
  if (!marginsFit(matrix, entries)) throw new PatchFormatError('indices', `have margins of (${shape.join(', ')})`)
  const coder = new BitDecoder(bytes)
  const margins = { rows: new Uint32Array(matrix.rows), columns: new Uint32Array(matrix.columns) }
  codeMargins(coder, margins, entries)
  if (codec === indexCodecs.cells && !cellsFit(margins, entries)) {
    throw new PatchFormatError('indices', `name too many cells for ${entries} entries`)
  }
  const indices = new Uint32Array(entries)
  codePlaces(codec, coder, indices, margins)
  coder.finish()
  return indices
}

function allPlaces(bytes: Uint8Array, places: number, entries: number): Uint32Array<ArrayBuffer> {
  if (entries !== places) throw new PatchFormatError('entries', `${entries}, where all ${places} places are meant`)
  if (bytes.length > 0) throw new PatchFormatError('indices', `${bytes.length} bytes follow`)
  const indices = new Uint32Array(entries)
  for (let i = 0; i < entries; i++) indices[i] = i
  return indices
}

function withCodec(codec: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const target = new Uint8Array(1 + bytes.length)
  target[0] = codec
  target.set(bytes, 1)
  return target
}
