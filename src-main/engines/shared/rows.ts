/** How many rows `hidden` (rows, hiddenSize) has. Throws `RangeError` unless it is a whole number, at least one. */
export function countRows(hidden: Float32Array, hiddenSize: number): number {
  const rows = hidden.length / hiddenSize
  if (Number.isInteger(rows) && rows > 0) return rows
  throw new RangeError(`${hidden.length} elements are not whole rows of ${hiddenSize}`)
}
