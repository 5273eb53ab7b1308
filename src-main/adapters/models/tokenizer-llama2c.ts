/**
 * llama2.c's own tokenizer (run.c, MIT): SentencePiece-style byte-pair encoding with scores. Text gets a space in
 * front, falls apart into characters (or bytes, for characters without a piece), and the neighbouring pair whose joined
 * piece scores best is merged, leftmost first, until no pair is a piece.
 *
 * run.c rescans the whole text for every merge; here a heap keeps the candidates, which gives the same merges in
 * O(n log n).
 */
import type { Tokenizer } from '#core/ports/model-store.ts'
import { mergePairs } from './merge-pairs.ts'
import { createPieceDecoder } from './piece-decoder.ts'
import { type Llama2cVocabulary, llama2cTokens, parseLlama2cVocabulary } from './tokenizer-llama2c-format.ts'

/** Parses and checks the file; it has exactly `vocabularySize` pieces. Throws `TokenizerFormatError`. */
export function createLlama2cTokenizer(bytes: Uint8Array, { vocabularySize }: { vocabularySize: number }): Tokenizer {
  const vocabulary = parseLlama2cVocabulary(bytes, vocabularySize)
  return {
    vocabularySize,
    beginToken: llama2cTokens.begin,
    endTokens: llama2cTokens.end,
    encode: (text) => (text === '' ? [] : mergePairs(toSymbols(vocabulary, text), vocabulary)),
    ...createPieceDecoder({
      vocabularySize,
      bytes: (token) => (token <= llama2cTokens.lastControl ? null : bytesOfPiece(vocabulary, token)),
      leadingSpaces: 1,
      beginToken: llama2cTokens.begin,
    }),
  }
}

/** The space in front and the text, a token for each character or, failing that, for each of its UTF-8 bytes. */
function toSymbols(vocabulary: Llama2cVocabulary, text: string): Int32Array {
  const symbols: number[] = []
  for (const character of ` ${text.toWellFormed()}`) {
    const id = vocabulary.idOf.get(character)
    if (id !== undefined) symbols.push(id)
    else for (const byte of utf8.encode(character)) symbols.push(byte + llama2cTokens.firstByte)
  }
  return Int32Array.from(symbols)
}

const utf8 = new TextEncoder()

/** `<0x41>` is the byte 0x41 wherever it stands in the vocabulary, as in run.c; any other piece is its own text. */
function bytesOfPiece(vocabulary: Llama2cVocabulary, token: number): Uint8Array {
  const piece = vocabulary.pieces[token] ?? ''
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece)?.[1]
  return byte === undefined ? utf8.encode(piece) : Uint8Array.of(Number.parseInt(byte, 16))
}
