/**
 * A GGUF file's vocabulary as the store keeps it: JSON with a fixed order of keys and no spaces, so that one vocabulary
 * is one sequence of bytes. `docs/formats/gguf.md` has it field by field.
 */
import * as z from 'zod'
import { TokenizerFormatError } from '#core/errors.ts'
import { parseBoundedJson } from './bounded-json.ts'

const label = 'GGUF vocabulary'
export const maximumPieces = 1 << 20
const maximumMerges = 1 << 21
const maximumAddedTokens = 100_000

/** llama.cpp's token types. Control and unknown tokens are no text; user-defined ones are, and are never split. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

const pieces = {
  formatVersion: z.literal(1),
  pieces: z.array(z.string().min(1)).min(1).max(maximumPieces),
  /** llama.cpp's numbers, one a piece. */
  types: z.array(z.int().min(0).max(255)).max(maximumPieces),
}

const vocabularySchema = z.discriminatedUnion('model', [
  /** SentencePiece's byte-pair encoding. `▁` in a piece is a space. */
  z.strictObject({
    model: z.literal('llama'),
    ...pieces,
    scores: z.array(z.number()).max(maximumPieces),
    addSpacePrefix: z.boolean(),
  }),
  /** Byte-level byte-pair encoding, pieces and merges in GPT-2's byte alphabet. */
  z.strictObject({
    model: z.literal('gpt2'),
    ...pieces,
    /** How text is cut into words first. */
    pre: z.string().max(64),
    merges: z.array(z.string()).max(maximumMerges),
  }),
])
export type GgufVocabulary = Readonly<z.infer<typeof vocabularySchema>>
export type ScoredVocabulary = Extract<GgufVocabulary, { model: 'llama' }>
export type MergedVocabulary = Extract<GgufVocabulary, { model: 'gpt2' }>

export function encodeGgufVocabulary(vocabulary: GgufVocabulary): Uint8Array {
  const { formatVersion, model, pieces: texts, types } = vocabulary
  const shared = { formatVersion, model, pieces: texts, types }
  const own =
    vocabulary.model === 'llama'
      ? { scores: vocabulary.scores, addSpacePrefix: vocabulary.addSpacePrefix }
      : { pre: vocabulary.pre, merges: vocabulary.merges }
  return new TextEncoder().encode(`${JSON.stringify({ ...shared, ...own })}\n`)
}

/** Parses, and checks that all pieces differ and that there are at most `vocabularySize`. Throws `TokenizerFormatError`. */
export function parseGgufVocabulary(bytes: Uint8Array, vocabularySize: number): GgufVocabulary {
  const parsed = vocabularySchema.safeParse(parseJson(bytes))
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new TokenizerFormatError(`${label} ${issue?.path.join('.').slice(0, 64)}`, issue?.message ?? 'malformed')
  }
  const vocabulary = parsed.data
  const count = vocabulary.pieces.length
  if (count > vocabularySize) {
    throw new TokenizerFormatError(label, `${count} pieces, the model's vocabulary has ${vocabularySize}`)
  }
  for (const [name, values] of perPiece(vocabulary)) {
    if (values.length !== count)
      throw new TokenizerFormatError(`${label} ${name}`, `${values.length} for ${count} pieces`)
  }
  if (addedTokenIds(vocabulary).length > maximumAddedTokens) {
    throw new TokenizerFormatError(label, `more than ${maximumAddedTokens} tokens that are not ordinary text`)
  }
  return vocabulary
}

function perPiece(vocabulary: GgufVocabulary): [string, readonly number[]][] {
  const types: [string, readonly number[]] = ['types', vocabulary.types]
  return vocabulary.model === 'llama' ? [types, ['scores', vocabulary.scores]] : [types]
}

/** piece -> id. Throws `TokenizerFormatError` when two are the same. */
export function indexPieces({ pieces: texts }: GgufVocabulary): ReadonlyMap<string, number> {
  const idOf = new Map<string, number>()
  for (const [id, piece] of texts.entries()) {
    const other = idOf.get(piece)
    if (other !== undefined) {
      throw new TokenizerFormatError(
        `${label} piece ${id}`,
        `${JSON.stringify(piece.slice(0, 64))} is piece ${other} too`,
      )
    }
    idOf.set(piece, id)
  }
  return idOf
}

/** Tokens found in a text as they are written, before anything else. */
export function addedTokenIds({ types }: GgufVocabulary): number[] {
  const added: readonly number[] = [tokenTypes.unknown, tokenTypes.control, tokenTypes.userDefined]
  return types.flatMap((type, id) => (added.includes(type) ? [id] : []))
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return parseBoundedJson(bytes, { depth: 4, values: 2 * maximumPieces + maximumMerges })
  } catch (cause) {
    throw new TokenizerFormatError(label, cause instanceof Error ? cause.message : 'not JSON', { cause })
  }
}
