/**
 * Token ids to text by way of bytes. Every tokenizer here can say which bytes a token stands for, and UTF-8 decoding is
 * incremental by nature: so text decoded token by token is the text decoded at once, and half a character is never
 * shown.
 */
import type { Tokenizer } from '#core/ports/model-store.ts'

export interface PieceTable {
  readonly vocabularySize: number
  /** The bytes of a token; null for one that stands for no text (special tokens, unused ids). */
  bytes(token: number): Uint8Array | null
  /** How many spaces at the beginning of the text belong to the encoding, not to the text. */
  readonly leadingSpaces: number
  /** A token after which the text begins anew. */
  readonly beginToken: number | null
}

const space = 0x20

/** Both directions throw `RangeError` for an id outside the vocabulary. */
export function createPieceDecoder(table: PieceTable): Pick<Tokenizer, 'decode' | 'decodeStream'> {
  const decodeStream = () => createStream(table)
  return {
    decodeStream,
    decode(tokens) {
      const stream = decodeStream()
      return tokens.map((token) => stream.push(token)).join('') + stream.end()
    },
  }
}

function createStream(table: PieceTable): ReturnType<Tokenizer['decodeStream']> {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  let spacesToDrop = table.leadingSpaces
  return {
    push(token) {
      if (token === table.beginToken) spacesToDrop = table.leadingSpaces
      const bytes = pieceBytes(table, token)
      if (bytes === null || bytes.length === 0) return ''
      const kept = withoutLeadingSpaces(bytes, spacesToDrop)
      const dropped = bytes.length - kept.length
      spacesToDrop = kept.length > 0 ? 0 : spacesToDrop - dropped
      return utf8.decode(kept, { stream: true })
    },
    end: () => utf8.decode(),
  }
}

function pieceBytes(table: PieceTable, token: number): Uint8Array | null {
  if (!Number.isInteger(token) || token < 0 || token >= table.vocabularySize) {
    throw new RangeError(`token ${token} is outside the vocabulary of ${table.vocabularySize}`)
  }
  return table.bytes(token)
}

function withoutLeadingSpaces(bytes: Uint8Array, most: number): Uint8Array {
  let start = 0
  while (start < most && bytes[start] === space) start++
  return bytes.subarray(start)
}
