/** LoRA's change to a matrix, ΔW = left right (Hu et al. 2022, eq. 3; the factor alpha / rank is in `left` already). */

/** Of a matrix (out, in). */
export interface TensorFactors {
  readonly rank: number
  readonly left: Float32Array // (out, rank)
  readonly right: Float32Array // (rank, in)
}

/** W += left right in place, each row summed in float64 before it is rounded. `weight`: (out, in) */
export function addFactors(weight: Float32Array | Float64Array, { rank, left, right }: TensorFactors): void {
  const columns = right.length / rank
  const row = new Float64Array(columns)
  for (let start = 0, out = 0; start < weight.length; start += columns, out++) {
    for (let i = 0; i < columns; i++) row[i] = weight[start + i] as number
    for (let r = 0; r < rank; r++) {
      const factor = left[out * rank + r] as number
      for (let i = 0; i < columns; i++) row[i] = (row[i] as number) + factor * (right[r * columns + i] as number)
    }
    weight.set(row, start)
  }
}
