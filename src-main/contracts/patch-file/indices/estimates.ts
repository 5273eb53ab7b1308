/**
 * What a codec will take, without running it: for large masks a pass over the indices instead of one through an arithmetic
 * coder. Nothing in a file depends on these but the choice of codec.
 */
import { gapLength } from './gaps.ts'
import { binaryLogarithm, logarithm } from './logarithm.ts'
import { codeMargins, type Margins, occupied } from './margins.ts'
import { BitEncoder } from './range-coder.ts'

const lengths = 33

/** The entropy of gaps' lengths, each given the one before, and the bits below the highest. */
export function estimateRowMajorBits(indices: Uint32Array): number {
  const pairs = new Uint32Array(lengths * lengths)
  let from = 0
  let before = 0
  let bits = 0
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number
    const length = gapLength(index - from)
    const pair = before * lengths + length
    pairs[pair] = (pairs[pair] as number) + 1
    if (length > 1) bits += length - 1
    before = length
    from = index + 1
  }
  for (let first = 0; first < lengths; first++) {
    bits += entropyBits(pairs.subarray(first * lengths, (first + 1) * lengths))
  }
  return bits
}

function entropyBits(counts: Uint32Array): number {
  const sum = counts.reduce((total, count) => total + count, 0)
  if (sum === 0) return 0
  return counts.reduce((bits, count) => bits + (count === 0 ? 0 : count * (logarithm(sum) - logarithm(count))), 0) / 8
}

/**
 * The margins as they are written, and the logarithm of how many sets have them, as if rows and columns were independent:
 * product of C(columns, r) x product of C(rows, c) / C(rows columns, K), over the occupied ones.
 */
export function estimateMarginBits(margins: Margins, entries: number): number {
  const coder = new BitEncoder()
  codeMargins(coder, { rows: margins.rows.slice(), columns: margins.columns.slice() }, entries)
  const [rows, columns] = [occupied(margins.rows).length, occupied(margins.columns).length]
  const sets =
    sumOfChoiceBits(margins.rows, columns) +
    sumOfChoiceBits(margins.columns, rows) -
    sumOfChoiceBits(Uint32Array.of(entries), rows * columns)
  return 8 * coder.finish().length + Math.max(sets, 0)
}

/** log2 of the product of C(places, count), of counts that are not zero. */
function sumOfChoiceBits(counts: Uint32Array, places: number): number {
  const all = factorialBits(places)
  let bits = 0
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i] as number
    if (count > 0) bits += all - factorialBits(count) - factorialBits(places - count)
  }
  return bits
}

/** log2 n! by Stirling. */
function factorialBits(n: number): number {
  if (n < 2) return 0
  const log2 = binaryLogarithm(n)
  return n * (log2 - Math.LOG2E) + (log2 + 2.65) / 2
}
