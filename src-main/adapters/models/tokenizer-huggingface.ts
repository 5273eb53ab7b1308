/**
 * The `Tokenizer` port over a Hugging Face `tokenizer.json`. Encoding is the library's; decoding is ours, because the
 * library decodes whole texts only, and a client shows text token by token.
 */
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers'
import { TokenizerFormatError } from '#core/errors.ts'
import type { Tokenizer } from '#core/ports/model-store.ts'
import { createPieceDecoder } from './piece-decoder.ts'
import {
  type AddedToken,
  type DecoderStep,
  type HuggingFaceTokenizerFile,
  parseHuggingFaceTokenizer,
} from './tokenizer-huggingface-format.ts'

export interface TokenizerInit {
  /** The model's: ids in the file are below it. */
  readonly vocabularySize: number
  readonly beginToken: number | null
  readonly endTokens: readonly number[]
}

/** Parses and checks the file. Throws `TokenizerFormatError`. */
export function createHuggingFaceTokenizer(bytes: Uint8Array, init: TokenizerInit): Tokenizer {
  const file = parseHuggingFaceTokenizer(bytes, init.vocabularySize)
  const encode = createLibraryEncoder('tokenizer.json', file.forLibrary, file.pieces.length)
  return {
    vocabularySize: init.vocabularySize,
    beginToken: init.beginToken,
    endTokens: init.endTokens,
    encode,
    ...createPieceDecoder({
      vocabularySize: init.vocabularySize,
      bytes: createPieceBytes(file),
      leadingSpaces: leadingSpaces(file.decoder),
      beginToken: null,
    }),
  }
}

/**
 * Text to ids below `pieceCount` by the library, for a file that has been checked. `label` is where errors lie. Throws
 * `TokenizerFormatError`, now or when a text cannot be encoded.
 */
export function createLibraryEncoder(label: string, file: object, pieceCount: number): (text: string) => number[] {
  const library = orFormatError(label, '', () => new LibraryTokenizer(file, {}))
  const encode = (text: string) => {
    const { ids } = orFormatError(label, 'cannot encode: ', () => library.encode(text, { add_special_tokens: false }))
    const stray = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= pieceCount)
    if (stray !== undefined) throw new TokenizerFormatError(label, `encoding yields the id ${stray}`)
    return ids
  }
  encode('A probe: 1 é 😀\n')
  return encode
}

function orFormatError<T>(label: string, before: string, use: () => T): T {
  try {
    return use()
  } catch (cause) {
    throw new TokenizerFormatError(label, `${before}${messageOf(cause)}`, { cause })
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message.slice(0, 200) : 'not understood'
}

/** id -> bytes; null for special tokens, and for ids that the model has but the tokenizer does not use. */
function createPieceBytes(file: HuggingFaceTokenizerFile): (token: number) => Uint8Array | null {
  const added = new Map<number, AddedToken>(file.addedTokens.map((token) => [token.id, token]))
  const toBytes = pieceToBytes(file.decoder)
  return (token) => {
    const piece = file.pieces[token]
    const addedToken = added.get(token)
    if (piece === undefined || addedToken?.special === true) return null
    return toBytes(piece, addedToken !== undefined)
  }
}

const utf8 = new TextEncoder()

function pieceToBytes(steps: readonly DecoderStep[]): (piece: string, isAdded: boolean) => Uint8Array {
  if (steps.some(({ type }) => type === 'ByteLevel')) {
    return (piece, isAdded) => (isAdded ? utf8.encode(piece) : fromByteLevel(piece))
  }
  const byteFallback = steps.some(({ type }) => type === 'ByteFallback')
  return (piece) => {
    const byte = byteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(piece)?.[1] : undefined
    return byte === undefined ? utf8.encode(replaceAll(piece, steps)) : Uint8Array.of(Number.parseInt(byte, 16))
  }
}

function replaceAll(piece: string, steps: readonly DecoderStep[]): string {
  return steps.reduce((text, step) => {
    if (step.type === 'Replace') return text.replaceAll(step.pattern.String, () => step.content)
    return step.type === 'Metaspace' ? text.replaceAll(step.replacement, ' ') : text
  }, piece)
}

function leadingSpaces(steps: readonly DecoderStep[]): number {
  const counts = steps.map((step) => {
    if (step.type === 'Strip') return step.start
    return step.type === 'Metaspace' && step.prepend_scheme !== 'never' ? 1 : 0
  })
  return Math.max(0, ...counts)
}

/**
 * GPT-2's byte alphabet: bytes that print stand for themselves, the others for the characters from U+0100 on, in order
 * (Radford et al. 2019, `bytes_to_unicode`).
 */
export const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  const prints = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad)
  let next = 0x100
  return new Map(
    Array.from({ length: 256 }, (_, byte) => [String.fromCodePoint(prints(byte) ? byte : next++), byte] as const),
  )
})()

/** A piece with a character outside the alphabet was never made of bytes and stands for itself. */
export function fromByteLevel(piece: string): Uint8Array {
  const bytes = Array.from(piece, (character) => byteOfCharacter.get(character))
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : utf8.encode(piece)
}
