/** Matrices as TensorFlow.js multiplies them fast: (in, out), where models store (out, in). */
import { decodeFloats } from '#core/numerics/dtypes.ts'
import type { StoredTensor } from '#core/ports/model-store.ts'

export interface TransposedMatrix {
  /** (inputSize, outputSize) */
  readonly values: Float32Array
  readonly inputSize: number
  readonly outputSize: number
}

/** Transposes what `pieces`, (rows, inputSize) each, make one below the other; `outputSize` rows in all. */
export async function transposePieces(
  pieces: AsyncIterable<StoredTensor>,
  inputSize: number,
  outputSize: number,
): Promise<TransposedMatrix> {
  const values = new Float32Array(inputSize * outputSize)
  let column = 0
  for await (const { dtype, bytes } of pieces) {
    const piece = decodeFloats(dtype, bytes)
    placeTransposed(piece, inputSize, values.subarray(column), outputSize)
    column += piece.length / inputSize
  }
  return { values, inputSize, outputSize }
}

/** Elements along a tile's edge: read along rows and written along columns, a tile of both stays in the cache. */
const tile = 32

/** `from` (rows, columns) to the first columns of `to`, whose rows are `width` apart. */
export function placeTransposed(from: Float32Array, columns: number, to: Float32Array, width: number): void {
  const rows = from.length / columns
  for (let row = 0; row < rows; row += tile) {
    for (let column = 0; column < columns; column += tile) {
      const rowEnd = Math.min(rows, row + tile)
      const columnEnd = Math.min(columns, column + tile)
      for (let r = row; r < rowEnd; r++) {
        for (let c = column; c < columnEnd; c++) to[c * width + r] = from[r * columns + c] as number
      }
    }
  }
}

/** As it was stored: (outputSize, inputSize). */
export function transposeBack(values: Float32Array, outputSize: number): Float32Array {
  const stored = new Float32Array(values.length)
  placeTransposed(values, outputSize, stored, values.length / outputSize)
  return stored
}
