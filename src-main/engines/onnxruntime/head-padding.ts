/**
 * The attention kernel takes head sizes that are multiples of 16 only. Other heads are widened with zero weights: zeros
 * add nothing to q·k, and the values' extra elements meet zero columns of the output projection, so results are the same.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'

type HeadShape = Pick<ModelConfig, 'headSize' | 'ropeStyle'>

/** The head size the kernel is given. */
export function paddedHeadSize(headSize: number): number {
  return Math.ceil(headSize / 16) * 16
}

/**
 * Where each element of a query or key head goes, so that RoPE still finds the pairs: `half` pairs (i, i + size/2), which
 * moves the second half; `interleaved` pairs neighbours, which stay. -> (headSize,)
 */
export function queryKeyPlaces({ headSize, ropeStyle }: HeadShape): readonly number[] {
  const shift = (paddedHeadSize(headSize) - headSize) / 2
  return valuePlaces(headSize).map((i) => (ropeStyle === 'half' && i >= headSize / 2 ? i + shift : i))
}

/** Where each element of a value head goes: where it was. -> (headSize,) */
export function valuePlaces(headSize: number): readonly number[] {
  return Array.from({ length: headSize }, (_, i) => i)
}

/**
 * Copies the rows of `from` (heads * headSize, rowLength) to their places in `to` (heads * paddedHeadSize, rowLength).
 * The rest of `to` is left alone.
 */
export function padRows(from: Float32Array, to: Float32Array, places: readonly number[], rowLength: number): void {
  const headSize = places.length
  const heads = from.length / (headSize * rowLength)
  for (let head = 0; head < heads; head++) {
    for (const [i, place] of places.entries()) {
      const start = (head * headSize + i) * rowLength
      to.set(from.subarray(start, start + rowLength), (head * paddedHeadSize(headSize) + place) * rowLength)
    }
  }
}

/** As `padRows`, for the columns of `from` (rows, heads * headSize) and `to` (rows, heads * paddedHeadSize). */
export function padColumns(from: Float32Array, to: Float32Array, places: readonly number[]): void {
  // Row-major, so (rows, heads * headSize) is (rows * heads, headSize) and each element is a row of length 1.
  padRows(from, to, places, 1)
}
