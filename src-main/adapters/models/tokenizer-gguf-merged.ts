/**
 * Byte-level byte-pair encoding (GPT-2's, Radford et al. 2019) from GGUF metadata. Encoding is the tokenizers library's,
 * from the parts that a `tokenizer.json` of the same model has; decoding is ours, by token types.
 */
import { TokenizerFormatError } from '#core/errors.ts'
import type { Tokenizer } from '#core/ports/model-store.ts'
import { createPieceDecoder } from './piece-decoder.ts'
import { addedTokenIds, indexPieces, type MergedVocabulary, tokenTypes } from './tokenizer-gguf-format.ts'
import { ggufSplits } from './tokenizer-gguf-splits.ts'
import { byteOfCharacter, createLibraryEncoder, fromByteLevel, type TokenizerInit } from './tokenizer-huggingface.ts'

const label = 'GGUF vocabulary'

/** Throws `TokenizerFormatError`, or `ModelUnsupportedError` for an unknown way to cut words. */
export function createMergedTokenizer(vocabulary: MergedVocabulary, init: TokenizerInit): Tokenizer {
  const encode = createLibraryEncoder(label, toTokenizerFile(vocabulary), vocabulary.pieces.length)
  return {
    vocabularySize: init.vocabularySize,
    beginToken: init.beginToken,
    endTokens: init.endTokens,
    encode: (text) => encode(text.toWellFormed()),
    ...createPieceDecoder({
      vocabularySize: init.vocabularySize,
      bytes: (token) => bytesOfPiece(vocabulary, token),
      leadingSpaces: 0,
      beginToken: null,
    }),
  }
}

/** What the library reads from a `tokenizer.json`. */
function toTokenizerFile(vocabulary: MergedVocabulary): object {
  const idOf = indexPieces(vocabulary)
  checkAlphabet(idOf)
  const { patterns, ignoreMerges = false } = ggufSplits(vocabulary.pre)
  return {
    added_tokens: addedTokenIds(vocabulary).map((id) => ({
      id,
      content: vocabulary.pieces[id],
      special: vocabulary.types[id] !== tokenTypes.userDefined,
      normalized: false,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...patterns.map((Regex) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })),
        { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(idOf),
      merges: vocabulary.merges.map((merge, index) => checkedMerge(merge, index, idOf)),
      unk_token: null,
      ignore_merges: ignoreMerges,
    },
  }
}

/** Every byte is a piece: then every text has tokens. */
function checkAlphabet(idOf: ReadonlyMap<string, number>): void {
  for (const [character, byte] of byteOfCharacter) {
    if (!idOf.has(character)) throw new TokenizerFormatError(label, `there is no piece for the byte ${byte}`)
  }
}

/** `a b`, two pieces that make a third. */
function checkedMerge(merge: string, index: number, idOf: ReadonlyMap<string, number>): readonly [string, string] {
  const space = merge.indexOf(' ', 1)
  const [left, right] = [merge.slice(0, space), merge.slice(space + 1)]
  if (space > 0 && [left, right, left + right].every((piece) => idOf.has(piece))) return [left, right]
  const what = `${JSON.stringify(merge.slice(0, 64))} does not join two pieces into a third`
  throw new TokenizerFormatError(`${label} merge ${index}`, what)
}

function bytesOfPiece({ pieces, types }: MergedVocabulary, token: number): Uint8Array | null {
  const piece = pieces[token]
  if (piece === undefined) return null
  if (types[token] === tokenTypes.normal) return fromByteLevel(piece)
  return types[token] === tokenTypes.userDefined ? new TextEncoder().encode(piece) : null
}
