/**
 * The arrays of this folder. Weights and hidden states come in as stored (float32); whatever is computed here is
 * float64, so that rounding is the engines' business and never the oracle's.
 */
export type Floats = Float32Array | Float64Array

/** An element of an array whose index is known to be inside it. */
export function at(values: Floats, index: number): number {
  return values[index] as number
}

export function dot(a: Floats, aStart: number, b: Floats, bStart: number, length: number): number {
  let sum = 0
  for (let i = 0; i < length; i++) sum += at(a, aStart + i) * at(b, bStart + i)
  return sum
}
