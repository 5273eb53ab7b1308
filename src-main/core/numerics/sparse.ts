/**
 * Matrices that are zero but for a few entries, as patches change weights: Δ given by row-major places, ascending, and the
 * value at each. All matrices are (out, in), so Δ[o, i] stands at o * inputSize + i.
 */
import { at, type Floats } from './floats.ts'

export interface SparseEntries {
  readonly indices: Uint32Array
  readonly values: Floats
}

/** W + Δ as a new array; W may be of any shape. */
export function addEntries(weight: Floats, { indices, values }: SparseEntries): Float64Array {
  const sum = Float64Array.from(weight)
  for (const [k, index] of indices.entries()) sum[index] = at(sum, index) + at(values, k)
  return sum
}

/** y += x Δᵀ in place. `x`: (tokens, inputSize), `y`: (tokens, outputSize) */
export function addSparseLinear(
  y: Floats,
  x: Floats,
  { indices, values }: SparseEntries,
  { inputSize, outputSize }: { inputSize: number; outputSize: number },
): void {
  const tokens = x.length / inputSize
  for (const [k, index] of indices.entries()) {
    const output = Math.floor(index / inputSize)
    const input = index % inputSize
    for (let t = 0; t < tokens; t++) {
      const place = t * outputSize + output
      y[place] = at(y, place) + at(x, t * inputSize + input) * at(values, k)
    }
  }
}

/** row += Δ[r, :] in place, finding the row's entries by bisection. `row`: (inputSize,) */
export function addRowEntries(row: Floats, { indices, values }: SparseEntries, r: number): void {
  const first = r * row.length
  for (let k = lowerBound(indices, first); k < indices.length; k++) {
    const place = (indices[k] as number) - first
    if (place >= row.length) break
    row[place] = at(row, place) + at(values, k)
  }
}

/** How many of `indices`, ascending, are below `bound`. */
export function lowerBound(indices: Uint32Array, bound: number): number {
  let low = 0
  let high = indices.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((indices[middle] as number) < bound) low = middle + 1
    else high = middle
  }
  return low
}
