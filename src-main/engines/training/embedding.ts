/** The embedding as rows of a table in memory: looked up forward, added to backward. */
import { lowerBound } from '#core/numerics/sparse.ts'

/** Rows of `table` (vocabulary, width). (n,) ids -> (n, width) */
export function lookUpRows(table: Float32Array, ids: Uint32Array, width: number): Float32Array {
  const rows = new Float32Array(ids.length * width)
  for (const [i, id] of ids.entries()) rows.set(table.subarray(id * width, (id + 1) * width), i * width)
  return rows
}

/** sum[ids[i]] += gradient[i] for whole rows. `gradient`: (n, width) */
export function addToRows(sum: Float32Array, ids: Uint32Array, gradient: Float32Array, width: number): void {
  for (let i = 0; i < ids.length; i++) {
    const target = (ids[i] as number) * width
    for (let column = 0; column < width; column++) {
      sum[target + column] = (sum[target + column] as number) + (gradient[i * width + column] as number)
    }
  }
}

/** As `addToRows` for the entries of a mask only: sum[e] += gradient[i, column of e] for every i whose id is e's row. `indices`: ascending */
export function addToEntries(
  sum: Float32Array,
  indices: Uint32Array,
  ids: Uint32Array,
  gradient: Float32Array,
  width: number,
): void {
  for (let i = 0; i < ids.length; i++) {
    const first = (ids[i] as number) * width
    for (let entry = lowerBound(indices, first); entry < indices.length; entry++) {
      const column = (indices[entry] as number) - first
      if (column >= width) break
      sum[entry] = (sum[entry] as number) + (gradient[i * width + column] as number)
    }
  }
}
