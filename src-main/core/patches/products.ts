/** Inner products of changes to one tensor, as vectors of all of its entries. */
import type { PatchFactors } from '#contracts/patch-file/patch.ts'
import type { SparsePart } from './tensor-parts.ts'

/** What two sparse changes have in common. `agreeing` products add up in `dot`. */
export interface SparseMeeting {
  readonly dot: number
  readonly shared: number
  /** Shared entries that one raises and the other lowers. */
  readonly signConflicts: number
}

/** One walk along both, O(entries). */
export function meet(a: SparsePart, b: SparsePart): SparseMeeting {
  let [i, j, dot, shared, signConflicts] = [0, 0, 0, 0, 0]
  while (i < a.indices.length && j < b.indices.length) {
    const [left, right] = [a.indices[i] as number, b.indices[j] as number]
    if (left === right) {
      const product = (a.values[i] as number) * (b.values[j] as number)
      dot += product
      shared += 1
      signConflicts += Number(product < 0)
    }
    i += Number(left <= right)
    j += Number(right <= left)
  }
  return { dot, shared, signConflicts }
}

/** ⟨Δ, L R⟩ = Σ Δ[o, i] L[o, :] · R[:, i], O(entries x rank) */
export function dotWithFactors({ indices, values }: SparsePart, { shape, rank, left, right }: PatchFactors): number {
  const inputSize = shape[1]
  let sum = 0
  for (let k = 0; k < indices.length; k++) {
    const place = indices[k] as number
    const [row, column] = [Math.floor(place / inputSize), place % inputSize]
    let entry = 0
    for (let r = 0; r < rank; r++) entry += (left[row * rank + r] as number) * (right[r * inputSize + column] as number)
    sum += (values[k] as number) * entry
  }
  return sum
}

/** ⟨A B, C D⟩ = Σ (Aᵀ C) ∘ (B Dᵀ), O((out + in) x rank²) */
export function dotOfFactors(one: PatchFactors, other: PatchFactors): number {
  const [out, into] = one.shape
  let sum = 0
  for (let p = 0; p < one.rank; p++) {
    for (let q = 0; q < other.rank; q++) {
      let [lefts, rights] = [0, 0]
      for (let o = 0; o < out; o++)
        lefts += (one.left[o * one.rank + p] as number) * (other.left[o * other.rank + q] as number)
      for (let i = 0; i < into; i++)
        rights += (one.right[p * into + i] as number) * (other.right[q * into + i] as number)
      sum += lefts * rights
    }
  }
  return sum
}

export function norm(values: Float32Array): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += (values[i] as number) ** 2
  return Math.sqrt(sum)
}

/** Largest magnitude. */
export function peak(values: Float32Array): number {
  let largest = 0
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i] as number))
  return largest
}

/** No entry of L R is larger: the longest row of L times the longest column of R (Cauchy and Schwarz). */
export function peakBound({ shape, rank, left, right }: PatchFactors): number {
  const [out, into] = shape
  let [row, column] = [0, 0]
  for (let o = 0; o < out; o++) row = Math.max(row, norm(left.subarray(o * rank, (o + 1) * rank)))
  const squares = new Float64Array(into)
  for (let k = 0; k < right.length; k++) squares[k % into] = (squares[k % into] as number) + (right[k] as number) ** 2
  for (const square of squares) column = Math.max(column, Math.sqrt(square))
  return row * column
}
