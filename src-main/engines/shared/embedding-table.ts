/**
 * The embedding is a gather of rows, so it stays as the file stores it (half the memory of float32 for F16 and BF16) and
 * each row is decoded when it is asked for.
 */
import { decodeFloatsInto } from '#core/numerics/dtypes.ts'
import { addRowEntries } from '#core/numerics/sparse.ts'
import type { StoredTensor } from '#core/ports/model-store.ts'
import type { TensorDelta } from './patch-split.ts'

export interface EmbeddingTable {
  readonly weightBytes: number
  /** (tokens,) -> (tokens, hiddenSize), with `deltas` added. Throws `RangeError` for an id outside the vocabulary. */
  rows(tokens: readonly number[], deltas?: readonly TensorDelta[]): Float32Array
}

/** `tensor`: (vocabulary, hidden). Holds its bytes. */
export function createEmbeddingTable({ dtype, shape, bytes }: StoredTensor): EmbeddingTable {
  const [vocabularySize, hiddenSize] = shape as readonly [number, number]
  const rowBytes = bytes.byteLength / vocabularySize
  return {
    weightBytes: bytes.byteLength,
    rows(tokens, deltas = []) {
      const hidden = new Float32Array(tokens.length * hiddenSize)
      for (const [t, token] of tokens.entries()) {
        checkToken(token, vocabularySize)
        const row = hidden.subarray(t * hiddenSize, (t + 1) * hiddenSize)
        decodeFloatsInto(row, dtype, bytes.subarray(token * rowBytes, (token + 1) * rowBytes))
        for (const delta of deltas) addRowEntries(row, delta, token)
      }
      return hidden
    },
  }
}

function checkToken(token: number, vocabularySize: number): void {
  if (Number.isInteger(token) && token >= 0 && token < vocabularySize) return
  throw new RangeError(`token ${token} is outside the vocabulary of ${vocabularySize}`)
}
