/**
 * How many entries each row and each column of a matrix has. The Fisher information of a weight is about the product of
 * its input's and its output's size (for a linear layer, E[(delta_r x_c)^2]), so a FISH mask is little more than its margins.
 */
import { PatchFormatError } from '../errors.ts'
import { codeCounts } from './counts.ts'
import type { BitCoder } from './range-coder.ts'

export interface Margins {
  readonly rows: Uint32Array
  readonly columns: Uint32Array
}

/** A tensor as a matrix: its last axis is the columns. */
export interface MatrixShape {
  readonly rows: number
  readonly columns: number
}

export function asMatrix(shape: readonly number[]): MatrixShape {
  const columns = shape.at(-1) ?? 1
  return { rows: shape.slice(0, -1).reduce((product, extent) => product * extent, 1), columns }
}

/** Whether margins are small beside the entries they describe; larger ones are neither written nor read. */
export function marginsFit({ rows, columns }: MatrixShape, entries: number): boolean {
  return rows + columns <= 4 * entries + 65_536
}

export function countMargins(indices: Uint32Array, shape: MatrixShape): Margins {
  const margins = { rows: new Uint32Array(shape.rows), columns: new Uint32Array(shape.columns) }
  const { rows, columns } = margins
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number
    const row = Math.floor(index / shape.columns)
    const column = index - row * shape.columns
    rows[row] = (rows[row] as number) + 1
    columns[column] = (columns[column] as number) + 1
  }
  return margins
}

/** Reads or writes margins in place. Throws `PatchFormatError` for ones that no set of `entries` has. */
export function codeMargins(coder: BitCoder, { rows, columns }: Margins, entries: number): void {
  codeCounts(coder, rows)
  checkCounts('rows', rows, { entries, most: columns.length })
  codeCounts(coder, columns)
  checkCounts('columns', columns, { entries, most: rows.length })
}

function checkCounts(
  where: string,
  counts: Uint32Array,
  { entries, most }: { readonly entries: number; readonly most: number },
): void {
  let sum = 0
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i] as number
    if (count > most) throw new PatchFormatError('indices', `${count} of ${most} places in one of the ${where}`)
    sum += count
  }
  if (sum !== entries) throw new PatchFormatError('indices', `${sum} in all ${where}, where there are ${entries}`)
}

/** The places of counts that are not zero. */
export function occupied(counts: Uint32Array): Uint32Array<ArrayBuffer> {
  let length = 0
  for (let i = 0; i < counts.length; i++) if ((counts[i] as number) > 0) length++
  const places = new Uint32Array(length)
  for (let i = 0, next = 0; i < counts.length; i++) if ((counts[i] as number) > 0) places[next++] = i
  return places
}
