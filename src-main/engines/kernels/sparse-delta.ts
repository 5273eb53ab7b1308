/**
 * A patch's change to one matrix, packed for speed at densities around half a percent, where an output row has ten to thirty
 * entries at columns that follow no pattern. Rows are sorted by their number of entries and go by eights, a bundle, whose
 * entries interleave: step s holds the s-th of each row, as eight u16 columns and eight float32 values. A row shorter than
 * its bundle's longest is filled up with zeros at column 0; after the sorting that is rarely more than a percent or two.
 */
import type { Kernels } from './kernels.ts'
import type { Pointer, Workspace } from './workspace.ts'

/** A packed Δ (rows, columns) in a workspace. */
export interface PackedDelta {
  readonly rows: number
  readonly columns: number
  readonly byteLength: number
  readonly pointer: Pointer
  readonly bundles: number
  /** Of all bundles together. */
  readonly steps: number
}

/** The most columns that a matrix may have. */
export const maximumColumns = 65536

/** Rows of a bundle, and rows of a tile. */
const lanes = 8

/**
 * Packs the entries of a (rows, columns) matrix: `indices` are places row-major, each once, in any order; `values` what
 * stands there. Throws `RangeError` for an index outside the matrix or more than `maximumColumns` columns, and
 * `WorkspaceFullError`.
 */
export function packDelta(
  workspace: Workspace,
  indices: Uint32Array,
  values: Float32Array,
  rows: number,
  columns: number,
): PackedDelta {
  if (columns > maximumColumns) throw new RangeError(`${columns} columns; at most ${maximumColumns} can be packed`)
  const counts = countByRow(indices, rows, columns)
  const order = longestFirst(counts)
  const bundles = Math.ceil(order.length / lanes)
  const steps = Uint32Array.from({ length: bundles }, (_, bundle) => counts[order[bundle * lanes] as number] as number)
  const delta = place(workspace, rows, columns, steps)
  fill(workspace, delta, { indices, values, rows, steps, order })
  return delta
}

/** Frees a delta. */
export function freePackedDelta(workspace: Workspace, { pointer }: PackedDelta): void {
  workspace.free(pointer)
}

/** Entries of each row -> (rows,) */
function countByRow(indices: Uint32Array, rows: number, columns: number): Uint32Array {
  const counts = new Uint32Array(rows)
  for (const index of indices) {
    const row = Math.floor(index / columns)
    if (row >= rows) throw new RangeError(`entry ${index} is outside a matrix of ${rows} by ${columns}`)
    counts[row] = (counts[row] as number) + 1
  }
  return counts
}

/** The rows that have entries, those with most first. */
function longestFirst(counts: Uint32Array): Uint32Array {
  const used = Uint32Array.from(counts.keys()).filter((row) => (counts[row] as number) > 0)
  return used.sort((a, b) => (counts[b] as number) - (counts[a] as number) || a - b)
}

function place(workspace: Workspace, rows: number, columns: number, steps: Uint32Array): PackedDelta {
  const bundles = steps.length
  const total = steps.reduce((sum, count) => sum + count, 0)
  const byteLength = bundles * 4 + bundles * lanes * 4 + total * lanes * 2 + total * lanes * 4
  return { rows, columns, byteLength, pointer: workspace.allocate(byteLength), bundles, steps: total }
}

/** Where a delta's parts begin. */
function partsOf({ pointer, bundles, steps }: PackedDelta) {
  const rows = pointer + bundles * 4
  const values = rows + bundles * lanes * 4
  return [pointer, rows, values + steps * lanes * 4, values, bundles] as const
}

interface Entries {
  readonly indices: Uint32Array
  readonly values: Float32Array
  readonly rows: number
  readonly steps: Uint32Array
  readonly order: Uint32Array
}

function fill(workspace: Workspace, delta: PackedDelta, { indices, values, rows, steps, order }: Entries): void {
  const [stepsAt, rowsAt, columnsAt, valuesAt] = partsOf(delta)
  const padded = delta.steps * lanes
  const packedColumns = new Uint16Array(workspace.memory.buffer, columnsAt, padded).fill(0)
  const packedValues = workspace.floats(valuesAt, padded).fill(0)
  workspace.integers(stepsAt, delta.bundles).set(steps)
  // Lanes without a row of their own add their zeros to the bundle's first.
  const firstOfLast = order[(delta.bundles - 1) * lanes] ?? 0
  workspace.integers(rowsAt, delta.bundles * lanes).fill(firstOfLast)
  workspace.integers(rowsAt, order.length).set(order)
  const next = firstPlaces(steps, order, rows)
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number
    const row = Math.floor(index / delta.columns)
    const at = next[row] as number
    packedColumns[at] = index - row * delta.columns
    packedValues[at] = values[i] as number
    next[row] = at + lanes
  }
}

/** Where each row's first entry goes; the next ones follow `lanes` further each. -> (rows,) */
function firstPlaces(steps: Uint32Array, order: Uint32Array, rows: number): Uint32Array {
  const places = new Uint32Array(rows)
  let start = 0
  for (const [bundle, count] of steps.entries()) {
    for (let lane = 0; lane < lanes; lane++) {
      const row = order[bundle * lanes + lane]
      if (row !== undefined) places[row] = start + lane
    }
    start += count * lanes
  }
  return places
}

/** Adds the entries to `matrix` (rows, columns), whole or its beginning with all rows that have entries. */
export function addPackedDelta(workspace: Workspace, delta: PackedDelta, matrix: Float32Array): void {
  const [stepsAt, rowsAt, columnsAt, valuesAt] = partsOf(delta)
  const steps = workspace.integers(stepsAt, delta.bundles)
  const rows = workspace.integers(rowsAt, delta.bundles * lanes)
  const columns = new Uint16Array(workspace.memory.buffer, columnsAt, delta.steps * lanes)
  const values = workspace.floats(valuesAt, delta.steps * lanes)
  let at = 0
  for (let bundle = 0; bundle < delta.bundles; bundle++) {
    for (const end = at + (steps[bundle] as number) * lanes; at < end; at++) {
      const place = (rows[bundle * lanes + (at % lanes)] as number) * delta.columns + (columns[at] as number)
      // Filling is zeros, which change nothing.
      matrix[place] = (matrix[place] as number) + (values[at] as number)
    }
  }
}

export interface SparseRows {
  /** (rows, xStride), rows beginning with the matrix's columns */
  readonly x: Pointer
  readonly xStride: number
  /** (rows, yStride), rows beginning with the matrix's rows */
  readonly y: Pointer
  readonly yStride: number
  readonly rows: number
}

/** From how many rows on it pays to turn them into lanes. */
const turnedFrom = 3

/** y[r] += Δ x[r] for each row. `x` and `y` do not overlap. */
export function sparseProduct(
  kernels: Kernels,
  workspace: Workspace,
  delta: PackedDelta,
  { x, xStride, y, yStride, rows }: SparseRows,
): void {
  const parts = partsOf(delta)
  for (let row = 0; row < rows; ) {
    const count = Math.min(lanes, rows - row)
    const from = x + row * xStride * 4
    const to = y + row * yStride * 4
    if (count < turnedFrom) {
      kernels.sparseProduct(...parts, from, to)
      row++
    } else {
      const turned = workspace.scratch('turned', delta.columns * lanes * 4)
      kernels.turnRows(from, xStride, count, delta.columns, turned)
      kernels.sparseProductOfTile(...parts, turned, to, yStride, count)
      row += count
    }
  }
}
