/**
 * SentencePiece's byte-pair encoding as llama.cpp does it: special tokens are cut out, each piece of text between them
 * gets a space in front, falls apart into characters, and neighbours are merged by score. A character that is no piece
 * and was not merged into one becomes its UTF-8 bytes.
 */
import { TokenizerFormatError } from '#core/errors.ts'
import type { Tokenizer } from '#core/ports/model-store.ts'
import { createPairLookup, mergePairs } from './merge-pairs.ts'
import { createPieceDecoder } from './piece-decoder.ts'
import { createSpecialSplitter } from './special-tokens.ts'
import { addedTokenIds, indexPieces, type ScoredVocabulary, tokenTypes } from './tokenizer-gguf-format.ts'
import type { TokenizerInit } from './tokenizer-huggingface.ts'

const spaceMark = '▁'

/** Throws `TokenizerFormatError`. */
export function createScoredTokenizer(vocabulary: ScoredVocabulary, init: TokenizerInit): Tokenizer {
  const encoder = createEncoder(vocabulary)
  const split = createSpecialSplitter(
    new Map(addedTokenIds(vocabulary).map((id) => [vocabulary.pieces[id] ?? '', id] as const)),
  )
  return {
    vocabularySize: init.vocabularySize,
    beginToken: init.beginToken,
    endTokens: init.endTokens,
    encode(text) {
      const parts = split(text.toWellFormed())
      return parts.flatMap((part, index) => {
        if (typeof part === 'number') return [part]
        const followsText = typeof parts[index - 1] === 'string'
        return encoder(vocabulary.addSpacePrefix && !followsText ? ` ${part}` : part)
      })
    },
    ...createPieceDecoder({
      vocabularySize: init.vocabularySize,
      bytes: (token) => bytesOfPiece(vocabulary, token),
      leadingSpaces: vocabulary.addSpacePrefix ? 1 : 0,
      beginToken: init.beginToken,
    }),
  }
}

function createEncoder(vocabulary: ScoredVocabulary): (text: string) => number[] {
  const { pieces, scores } = vocabulary
  const idOf = indexPieces(vocabulary)
  const byteIds = findBytePieces(idOf)
  const lookup = createPairLookup(pieces, idOf)
  return (text) => {
    // Characters that are no piece take numbers after the vocabulary: they may still be part of one.
    const strangers: string[] = []
    const textOf = (id: number) => pieces[id] ?? strangers[id - pieces.length] ?? ''
    const symbols = Array.from(text.replaceAll(' ', spaceMark), (character) => {
      return idOf.get(character) ?? pieces.length + strangers.push(character) - 1
    })
    const tokens = mergePairs(Int32Array.from(symbols), {
      merge: (left, right) =>
        left < pieces.length && right < pieces.length
          ? lookup(left, right)
          : (idOf.get(`${textOf(left)}${textOf(right)}`) ?? -1),
      score: (token) => scores[token] ?? 0,
    })
    return tokens.flatMap((token) =>
      token < pieces.length ? [token] : Array.from(utf8.encode(textOf(token)), (byte) => byteIds[byte] ?? 0),
    )
  }
}

/** Ids of `<0x00>` to `<0xFF>`. */
function findBytePieces(idOf: ReadonlyMap<string, number>): number[] {
  return Array.from({ length: 256 }, (_, byte) => {
    const piece = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`
    const id = idOf.get(piece)
    if (id === undefined) throw new TokenizerFormatError('GGUF vocabulary', `there is no piece ${piece}`)
    return id
  })
}

const utf8 = new TextEncoder()

function bytesOfPiece({ pieces, types }: ScoredVocabulary, token: number): Uint8Array | null {
  const piece = pieces[token]
  if (piece === undefined) return null
  switch (types[token]) {
    case tokenTypes.normal:
      return utf8.encode(piece.replaceAll(spaceMark, ' '))
    case tokenTypes.userDefined:
      return utf8.encode(piece)
    case tokenTypes.byte:
      return bytePiece(piece)
    default:
      return null
  }
}

function bytePiece(piece: string): Uint8Array | null {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece)?.[1]
  return byte === undefined ? null : Uint8Array.of(Number.parseInt(byte, 16))
}
