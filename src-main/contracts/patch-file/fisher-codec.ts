/**
 * The diagonal Fisher in eight bits an entry, on a logarithmic scale. What matters of it is its order of magnitude: it
 * weighs patches against each other (Matena & Raffel 2021, eq. 2). Little-endian:
 *
 *     lowest, highest: int16      then      entries codes, uint8
 *     code 0 is zero;  code c from 1 on is 2^(level / 128),  level = lowest + floor((c - 1) (highest - lowest) / 254)
 *
 * `lowest` and `highest` are the levels of the smallest and largest Fisher that is not zero (both 0 when all are zero), from
 * -126 x 128 to 128 x 128 - 1; what is below 2^-126 becomes zero. With R = log2(largest / smallest) a decoded Fisher is within
 * a factor 2^(R / 508 + 1 / 128) of the true one: 4.6 % when they span nine orders of magnitude.
 *
 * Powers of two are made of square roots and products, which IEEE 754 rounds alike everywhere; logarithms are not.
 */
import { PatchFormatError } from './errors.ts'

const levelsPerOctave = 128
const leastLevel = -126 * levelsPerOctave
const greatestLevel = 128 * levelsPerOctave - 1
const leastFisher = 2 ** -126
const headerBytes = 4
const topCode = 255

/** powers[i] = 2^(i / 128), i below 128. */
const powers = powersOfTwo()

/** Bytes of `entries` Fisher values. */
export function encodedFisherBytes(entries: number): number {
  return headerBytes + entries
}

/** Throws `PatchFormatError` for a value that is negative or not finite. */
export function encodeFisher(fisher: Float32Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(encodedFisherBytes(fisher.length))
  const { lowest, highest } = levelRange(fisher)
  const view = new DataView(bytes.buffer)
  view.setInt16(0, lowest, true)
  view.setInt16(2, highest, true)
  const table = decodingTable(lowest, highest)
  for (let i = 0; i < fisher.length; i++) {
    const value = fisher[i] as number
    bytes[headerBytes + i] = value < leastFisher ? 0 : nearestCode(table, value)
  }
  return bytes
}

/** A new array. Throws `PatchFormatError` when `bytes` are not those of `entries` values, before anything is allocated. */
export function decodeFisher(bytes: Uint8Array, { entries }: { readonly entries: number }): Float32Array<ArrayBuffer> {
  const expected = encodedFisherBytes(entries)
  if (bytes.length !== expected) {
    throw new PatchFormatError('fisher', `${bytes.length} bytes, where ${entries} entries take ${expected}`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes)
  const [lowest, highest] = [view.getInt16(0, true), view.getInt16(2, true)]
  if (lowest < leastLevel || highest > greatestLevel || lowest > highest) {
    throw new PatchFormatError('fisher', `levels from ${lowest} to ${highest} are no scale`)
  }
  const table = decodingTable(lowest, highest)
  return Float32Array.from({ length: entries }, (_, i) => table[bytes[headerBytes + i] as number] as number)
}

function levelRange(fisher: Float32Array): { readonly lowest: number; readonly highest: number } {
  let smallest = Infinity
  let largest = 0
  for (let i = 0; i < fisher.length; i++) {
    const value = fisher[i] as number
    if (!(value >= 0 && value < Infinity))
      throw new PatchFormatError(`fisher ${i}`, `${value} is no Fisher information`)
    if (value >= leastFisher && value < smallest) smallest = value
    if (value > largest) largest = value
  }
  if (smallest === Infinity) return { lowest: 0, highest: 0 }
  return { lowest: nearestLevel(smallest), highest: nearestLevel(largest) }
}

/** The level whose power of two is nearest, of a normal float32. */
function nearestLevel(value: number): number {
  let octave = Math.floor(Math.log2(value))
  // The logarithm may be rounded across a power of two, one way or the other.
  if (2 ** octave > value) octave--
  else if (2 ** (octave + 1) <= value) octave++
  const fraction = value / 2 ** octave
  let step = 0
  while (step < levelsPerOctave && power(step + 1) - fraction <= fraction - power(step)) step++
  return Math.min(octave * levelsPerOctave + step, greatestLevel)
}

function power(step: number): number {
  return step === levelsPerOctave ? 2 : (powers[step] as number)
}

/** (256,), ascending: what each code means. */
function decodingTable(lowest: number, highest: number): Float32Array {
  const table = new Float32Array(topCode + 1)
  for (let code = 1; code <= topCode; code++) {
    const level = lowest + Math.floor(((code - 1) * (highest - lowest)) / (topCode - 1))
    const octave = Math.floor(level / levelsPerOctave)
    table[code] = (powers[level - octave * levelsPerOctave] as number) * 2 ** octave
  }
  return table
}

/** Of the codes from 1 on the one nearest to `value` by their ratio, the lower of two as near. Squares are exact in float64. */
function nearestCode(table: Float32Array, value: number): number {
  let low = 1
  let high = topCode
  while (low < high) {
    const middle = (low + high) >> 1
    if ((table[middle] as number) < value) low = middle + 1
    else high = middle
  }
  // `low` is the first code that is not below, or the last of all.
  if (low === 1 || value * value > (table[low] as number) * (table[low - 1] as number)) return firstOfEqual(table, low)
  return firstOfEqual(table, low - 1)
}

/** A narrow scale has several codes for one level. */
function firstOfEqual(table: Float32Array, code: number): number {
  let first = code
  while (first > 1 && table[first - 1] === table[code]) first--
  return first
}

function powersOfTwo(): Float64Array {
  const roots: number[] = [2]
  while (2 ** roots.length <= levelsPerOctave) roots.push(Math.sqrt(roots.at(-1) as number))
  const bits = roots.slice(1).reverse() // bits[j] = 2^(2^j / 128)
  return Float64Array.from({ length: levelsPerOctave }, (_, step) =>
    bits.reduce((product, root, j) => ((step >> j) & 1 ? product * root : product), 1),
  )
}
