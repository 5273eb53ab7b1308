/**
 * Some entries of a matrix product, without the rest: out[e] = Σₚ left[rows[e], p] right[columns[e], p]. A loop takes
 * up to `entriesPerChunk` entries at a time, so that what it gathers stays in the processor's cache whatever the mask's size.
 */
import type { Graph, Value } from './graph.ts'

/** Measured at 512 positions: 64 to 512 entries a turn differ by less than a fifth. */
export const entriesPerChunk = 256

export interface EntryPlaces {
  /** (chunks, entries a chunk) int32, the last ones filled up with zeros. */
  readonly rows: Value
  readonly columns: Value
}

/** `left` (rowCount, positions), `right` (columnCount, positions) -> (chunks, entries a chunk) */
export function sampledProduct(graph: Graph, left: Value, right: Value, places: EntryPlaces): Value {
  // A body's names must differ from all around it.
  const local = (name: string) => `${name}@${left}@${right}@${places.rows}`
  const [rows, columns, axis] = [local('rows'), local('columns'), local('axis')]
  const [a, b, products, sums] = [local('a'), local('b'), local('products'), local('sums')]
  const body = {
    constants: [{ name: axis, type: 'int64', shape: [1], values: [1] }],
    inputs: [
      { name: rows, type: 'int32' },
      { name: columns, type: 'int32' },
    ],
    nodes: [
      { operator: 'Gather', inputs: [left, rows], outputs: [a] },
      { operator: 'Gather', inputs: [right, columns], outputs: [b] },
      { operator: 'Mul', inputs: [a, b], outputs: [products] },
      { operator: 'ReduceSum', inputs: [products, axis], outputs: [sums], attributes: { keepdims: { int: 0 } } },
    ],
    outputs: [{ name: sums, type: 'float32', shape: ['entries'] }],
  } as const
  return graph.scan([places.rows, places.columns], body, [left, right])
}
