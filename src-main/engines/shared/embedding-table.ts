/**
 * The embedding is a gather of rows, so it stays as the file stores it (half the memory of float32 for F16 and BF16) and
 * each row is decoded when it is asked for.
 */
import { decodeFloatsInto } from '#core/numerics/dtypes.ts'
import type { StoredTensor } from '#core/ports/model-store.ts'

export interface EmbeddingTable {
  readonly weightBytes: number
  /** (tokens,) -> (tokens, hiddenSize). Throws `RangeError` for an id outside the vocabulary. */
  rows(tokens: readonly number[]): Float32Array
}

/** `tensor`: (vocabulary, hidden). Holds its bytes. */
export function createEmbeddingTable({ dtype, shape, bytes }: StoredTensor): EmbeddingTable {
  const [vocabularySize, hiddenSize] = shape as readonly [number, number]
  const rowBytes = bytes.byteLength / vocabularySize
  return {
    weightBytes: bytes.byteLength,
    rows(tokens) {
      const hidden = new Float32Array(tokens.length * hiddenSize)
      for (const [t, token] of tokens.entries()) {
        checkToken(token, vocabularySize)
        const row = bytes.subarray(token * rowBytes, (token + 1) * rowBytes)
        decodeFloatsInto(hidden.subarray(t * hiddenSize, (t + 1) * hiddenSize), dtype, row)
      }
      return hidden
    },
  }
}

function checkToken(token: number, vocabularySize: number): void {
  if (Number.isInteger(token) && token >= 0 && token < vocabularySize) return
  throw new RangeError(`token ${token} is outside the vocabulary of ${vocabularySize}`)
}
