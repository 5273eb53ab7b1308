/**
 * A matrix's mask, cell by cell, after its margins. Only rows and columns with entries are walked; a cell's odds follow from
 * what its row and its column still have to place:
 *
 *     odds = r / (C - r) x c / (R - c) x (N - K + 1) / K
 *
 * r, c: entries left to the row, to the column; C: columns from here on; R: rows from here on; at the row's start, K: entries
 * left in all, N: cells left. A cell needs no bit where c or r is 0 (empty), c = R or r >= C (set). The logarithm of the odds in
 * half octaves, and whether the cells above and to the left are set, choose one of the adaptive probabilities, which
 * begins at what the odds say.
 */
import { PatchFormatError } from '../errors.ts'
import { BitModels } from './bit-models.ts'
import { logarithm } from './logarithm.ts'
import { type Margins, occupied } from './margins.ts'
import type { BitCoder } from './range-coder.ts'

/** Odds from 2^-12 to 2^12, in half octaves. */
const oddsSteps = 49
const middleStep = 24
const neighbourhoods = 4
const limit = 255
/** How many bits the first probabilities count for. */
const trust = 6

/** Whether walking is little work beside the entries: what bounds a reader's time. */
export function cellsFit({ rows, columns }: Margins, entries: number): boolean {
  return occupied(rows).length * occupied(columns).length <= Math.min(64 * entries + 65_536, 2 ** 31)
}

/** Reads or writes the indices in place. Throws `PatchFormatError` when the margins cannot be met. */
export function codeCells(coder: BitCoder, indices: Uint32Array, margins: Margins): void {
  const models = createModels()
  const rows = occupied(margins.rows)
  const columns = occupied(margins.columns)
  const left = Uint32Array.from(columns, (column) => margins.columns[column] as number)
  const above = new Uint8Array(columns.length)
  let next = 0
  for (let at = 0; at < rows.length; at++) {
    const row = rows[at] as number
    const rowsLeft = rows.length - at
    const start = row * margins.columns.length
    const all = indices.length - next
    const share = logarithm(Math.max(columns.length * rowsLeft - all + 1, 1)) - logarithm(all)
    let toPlace = margins.rows[row] as number
    let before = 0
    for (let i = 0; i < columns.length; i++) {
      const inColumn = left[i] as number
      const columnsLeft = columns.length - i
      const place = start + (columns[i] as number)
      let bit = 0
      if (inColumn === 0 || toPlace === 0) bit = 0
      else if (inColumn >= rowsLeft || toPlace >= columnsLeft) bit = 1
      else {
        const ofRow = logarithm(toPlace) - logarithm(columnsLeft - toPlace)
        const ofColumn = logarithm(inColumn) - logarithm(rowsLeft - inColumn)
        const step = oddsStep(share + ofRow + ofColumn)
        const context = step * neighbourhoods + 2 * (above[i] as number) + before
        bit = coder.bit(models, context, next < indices.length && indices[next] === place ? 1 : 0)
      }
      above[i] = bit
      before = bit
      if (bit === 1) {
        indices[next++] = place
        left[i] = inColumn - 1
        toPlace--
      }
    }
    if (toPlace > 0) throw new PatchFormatError('indices', `too few in row ${row}`)
  }
}

/** `odds` in eighths of octaves. */
function oddsStep(odds: number): number {
  return Math.min(Math.max(((odds + 2) >> 2) + middleStep, 0), oddsSteps - 1)
}

function createModels(): BitModels {
  const models = new BitModels(oddsSteps * neighbourhoods, limit)
  for (let step = 0; step < oddsSteps; step++) {
    const odds = halfOctaves(step - middleStep)
    const probability = Math.floor((65_536 * odds) / (1 + odds))
    for (let i = 0; i < neighbourhoods; i++) models.begin(step * neighbourhoods + i, probability, trust)
  }
  return models
}

/** 2^(halves / 2), of products of exact powers and one constant: the same on every machine. */
function halfOctaves(halves: number): number {
  return 2 ** Math.floor(halves / 2) * (halves % 2 === 0 ? 1 : Math.SQRT2)
}
