/**
 * What a `tokenizer.json` must look like before the tokenizers library may see it: byte-pair encoding, made of parts we
 * know, with every id from 0 up used exactly once and every merge leading to a piece that exists. The library trusts its
 * input; a vocabulary with holes would make it drop text or yield ids that the model does not have.
 * Format: https://huggingface.co/docs/tokenizers
 */
import * as z from 'zod'
import { TokenizerFormatError } from '#core/errors.ts'
import { parseBoundedJson } from './bounded-json.ts'

const label = 'tokenizer.json'
const maximumPieces = 1 << 22
const text = z.string().max(1024)

const patternSchema = z.union([z.strictObject({ String: text }), z.strictObject({ Regex: z.string().max(4096) })])
const none = z.literal('').nullish()

// Only what the library computes as the original does: it knows more parts by name, but ignores some of their options.
const normalizerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('Prepend'), prepend: text }),
  z.object({ type: z.literal('Replace'), pattern: patternSchema, content: text }),
  z.object({ type: z.enum(['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase']) }),
])
const preTokenizerSchema = z.union([
  z.object({ type: z.literal('ByteLevel'), add_prefix_space: z.boolean(), use_regex: z.boolean().optional() }),
  z.object({
    type: z.literal('Split'),
    pattern: patternSchema,
    behavior: z.literal('Isolated'),
    invert: z.literal(false),
  }),
  z.object({
    type: z.literal('Split'),
    pattern: patternSchema,
    behavior: z.literal('Removed'),
    invert: z.boolean(),
  }),
  z.object({ type: z.literal('Digits'), individual_digits: z.boolean() }),
  z.object({
    type: z.literal('Metaspace'),
    replacement: text.min(1),
    prepend_scheme: z.enum(['first', 'never', 'always']),
    split: z.literal(false),
  }),
])
const decoderSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ByteLevel') }),
  z.object({
    type: z.literal('Metaspace'),
    replacement: text.min(1),
    prepend_scheme: z.enum(['first', 'never', 'always']),
  }),
  z.object({ type: z.literal('Replace'), pattern: z.strictObject({ String: text.min(1) }), content: text }),
  z.object({ type: z.enum(['ByteFallback', 'Fuse']) }),
  z.object({
    type: z.literal('Strip'),
    content: z.literal(' '),
    start: z.int().min(0).max(16),
    stop: z.literal(0),
  }),
])
export type DecoderStep = z.infer<typeof decoderSchema>

const addedTokenSchema = z.object({
  id: z.int().min(0).max(maximumPieces),
  content: text.min(1),
  special: z.boolean(),
  normalized: z.boolean().optional(),
  single_word: z.literal(false).optional(),
  lstrip: z.boolean().optional(),
  rstrip: z.boolean().optional(),
})
export type AddedToken = z.infer<typeof addedTokenSchema>

const fileSchema = z.object({
  added_tokens: z.array(addedTokenSchema).max(100_000),
  normalizer: z
    .union([
      z.object({ type: z.literal('Sequence'), normalizers: z.array(normalizerSchema).max(16) }),
      normalizerSchema,
    ])
    .nullable(),
  pre_tokenizer: z
    .union([
      z.object({ type: z.literal('Sequence'), pretokenizers: z.array(preTokenizerSchema).max(16) }),
      preTokenizerSchema,
    ])
    .nullable(),
  decoder: z.union([
    z
      .object({ type: z.literal('Sequence'), decoders: z.array(decoderSchema).min(1).max(16) })
      .transform(({ decoders }) => decoders),
    decoderSchema.transform((decoder) => [decoder]),
  ]),
  model: z.object({
    type: z.literal('BPE'),
    vocab: z.record(z.string().max(4096), z.int().min(0).max(maximumPieces)),
    merges: z.array(z.unknown()),
    unk_token: text.nullish(),
    byte_fallback: z.boolean().optional(),
    ignore_merges: z.boolean().optional(),
    fuse_unk: z.boolean().optional(),
    dropout: z.literal(0).nullish(),
    continuing_subword_prefix: none,
    end_of_word_suffix: none,
  }),
})
type TokenizerFile = z.infer<typeof fileSchema>

export interface HuggingFaceTokenizerFile {
  /** What the library builds its encoder from. */
  readonly forLibrary: object
  /** Piece of every id from 0 up. */
  readonly pieces: readonly string[]
  readonly addedTokens: readonly AddedToken[]
  readonly decoder: readonly DecoderStep[]
}

/** Throws `TokenizerFormatError`. */
export function parseHuggingFaceTokenizer(bytes: Uint8Array, vocabularySize: number): HuggingFaceTokenizerFile {
  const file = checkedFile(parseJson(bytes))
  const pieces = collectPieces(file, vocabularySize)
  checkMerges(file)
  // The post-processor adds the special tokens that are the generator's business; the decoder is ours.
  const forLibrary = { ...file, post_processor: null, decoder: null }
  return { forLibrary, pieces, addedTokens: file.added_tokens, decoder: file.decoder }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return parseBoundedJson(bytes, { depth: 16, values: 4_000_000 })
  } catch (cause) {
    throw new TokenizerFormatError(label, cause instanceof Error ? cause.message : 'not JSON', { cause })
  }
}

function checkedFile(json: unknown): TokenizerFile {
  const parsed = fileSchema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new TokenizerFormatError(
    `${label} ${issue?.path.join('.').slice(0, 200)}`.trimEnd(),
    issue?.message ?? 'malformed',
  )
}

/** The vocabulary and the added tokens together use every id from 0 to the largest, each for one piece. */
function collectPieces(file: TokenizerFile, vocabularySize: number): string[] {
  const vocabulary = Object.entries(file.model.vocab)
  const added = file.added_tokens.map(({ content, id }) => [content, id] as const)
  const pieces: string[] = []
  const largest = [...vocabulary, ...added].reduce((most, [, id]) => Math.max(most, id), -1)
  if (largest >= vocabularySize) {
    throw new TokenizerFormatError(label, `id ${largest} is outside the model's vocabulary of ${vocabularySize}`)
  }
  for (const [piece, id] of [...vocabulary, ...added]) {
    const other = pieces[id]
    if (other !== undefined && other !== piece) {
      throw new TokenizerFormatError(`${label} id ${id}`, `stands for both ${quote(other)} and ${quote(piece)}`)
    }
    pieces[id] = piece
  }
  checkNoHoles(pieces, largest + 1, file)
  return pieces
}

function checkNoHoles(pieces: readonly (string | undefined)[], count: number, file: TokenizerFile): void {
  if (count === 0) throw new TokenizerFormatError(label, 'the vocabulary is empty')
  for (let id = 0; id < count; id++) {
    if (pieces[id] === undefined) throw new TokenizerFormatError(`${label} id ${id}`, 'a hole in the vocabulary')
  }
  for (const { content, id } of file.added_tokens) {
    const other = Object.hasOwn(file.model.vocab, content) ? file.model.vocab[content] : undefined
    if (other !== undefined && other !== id) {
      throw new TokenizerFormatError(
        `${label} added token ${id}`,
        `${quote(content)} has id ${other} in the vocabulary`,
      )
    }
  }
}

/** Each merge joins two pieces into a third, all of the vocabulary. Newer files write pairs, older ones `a b`. */
function checkMerges({ model }: TokenizerFile): void {
  const known = (piece: string) => Object.hasOwn(model.vocab, piece)
  const asPairs = Array.isArray(model.merges[0])
  model.merges.forEach((merge, index) => {
    const parts = mergeParts(merge, asPairs)
    if (parts === null) throw new TokenizerFormatError(`${label} merge ${index}`, 'not two pieces')
    const missing = [...parts, parts.join('')].find((piece) => !known(piece))
    if (missing !== undefined) {
      throw new TokenizerFormatError(`${label} merge ${index}`, `${quote(missing)} is not in the vocabulary`)
    }
  })
  const unknown = model.unk_token ?? null
  if (unknown !== null && !known(unknown)) {
    throw new TokenizerFormatError(`${label} model.unk_token`, `${quote(unknown)} is not in the vocabulary`)
  }
}

function mergeParts(merge: unknown, asPairs: boolean): string[] | null {
  const parts: unknown = !asPairs && typeof merge === 'string' ? merge.split(' ') : asPairs ? merge : null
  if (!Array.isArray(parts) || parts.length !== 2) return null
  return parts.every((part) => typeof part === 'string') ? parts : null
}

function quote(piece: string): string {
  return JSON.stringify(piece.slice(0, 64))
}
