/**
 * A matrix's mask, row by row, after its margins: in each row the gaps between places when columns are ordered by their counts,
 * the fullest first. That takes time for each entry, not for each cell, and is for matrices too large to be walked.
 *
 * A gap's context is how long it will be: the entries of the columns from here on, over those of this column and those left
 * to the row, as a rounded logarithm.
 */
import { PatchFormatError } from '../errors.ts'
import { codeGap, createGapModels } from './gaps.ts'
import { logarithm } from './logarithm.ts'
import { type Margins, occupied } from './margins.ts'
import type { BitCoder } from './range-coder.ts'

/** Half octaves of the gap to expect. */
const contexts = 48

/** Reads or writes the indices in place. Throws `PatchFormatError` for more entries than fit a row. */
export function codeSortedColumns(coder: BitCoder, indices: Uint32Array, margins: Margins): void {
  const models = createGapModels(contexts)
  const order = fullestFirst(margins.columns)
  const rankOf = inverse(order, margins.columns.length)
  const before = countsBefore(order, margins.columns)
  const width = margins.columns.length
  const all = indices.length
  let next = 0
  for (let row = 0; row < margins.rows.length; row++) {
    const count = margins.rows[row] as number
    if (count === 0) continue
    const places = indices.subarray(next, next + count)
    if (!coder.decoding)
      for (let i = 0; i < count; i++) places[i] = rankOf[(places[i] as number) - row * width] as number
    if (!coder.decoding) ascend(places)
    let from = 0
    for (let i = 0; i < count; i++) {
      const inColumn = from < order.length ? (margins.columns[order[from] as number] as number) : 1
      const after = all - (before[from] ?? all)
      const expected = logarithm(Math.max(after, 1)) - logarithm(inColumn) - logarithm(count - i)
      const context = Math.min(Math.max((expected + 8) >> 2, 0), contexts - 1)
      const rank = from + codeGap(coder, models, (places[i] as number) - from, context)
      if (rank >= order.length) throw new PatchFormatError('indices', `too many in row ${row}`)
      places[i] = rank
      from = rank + 1
    }
    for (let i = 0; i < count; i++) places[i] = row * width + (order[places[i] as number] as number)
    ascend(places)
    next += count
  }
}

/** The occupied columns; of two with one count the left one first. */
function fullestFirst(columns: Uint32Array): Uint32Array {
  return occupied(columns).sort((a, b) => (columns[b] as number) - (columns[a] as number) || a - b)
}

function inverse(order: Uint32Array, length: number): Uint32Array {
  const ranks = new Uint32Array(length)
  for (let rank = 0; rank < order.length; rank++) ranks[order[rank] as number] = rank
  return ranks
}

/** countsBefore[rank]: entries of all columns that come before. */
function countsBefore(order: Uint32Array, columns: Uint32Array): Float64Array {
  const sums = new Float64Array(order.length)
  let sum = 0
  for (let rank = 0; rank < order.length; rank++) {
    sums[rank] = sum
    sum += columns[order[rank] as number] as number
  }
  return sums
}

/** Rows are short: below some length sorting by insertion is faster than a call of `sort`. */
function ascend(places: Uint32Array): void {
  if (places.length > 24) {
    places.sort()
    return
  }
  for (let i = 1; i < places.length; i++) {
    const place = places[i] as number
    let at = i
    for (; at > 0 && (places[at - 1] as number) > place; at--) places[at] = places[at - 1] as number
    places[at] = place
  }
}
