/**
 * The `tokenizer.ggml.*` metadata as our vocabulary. What a file leaves out is filled in as llama.cpp does (`llama-vocab`):
 * SentencePiece files begin texts with token 1 and end them with 2, and put a space in front.
 */
import { ModelUnsupportedError, TokenizerFormatError } from '#core/errors.ts'
import type { GgufFields } from './gguf-fields.ts'
import { maximumTokenizerBytes, type SourceTokenizer } from './model-source.ts'
import { encodeGgufVocabulary, type GgufVocabulary, tokenTypes } from './tokenizer-gguf-format.ts'
import { beginsTexts, ggufSplits } from './tokenizer-gguf-splits.ts'

const prefix = 'tokenizer.ggml'

/** Throws `TokenizerFormatError`, `ModelFormatError` or `ModelUnsupportedError`. */
export function ggufTokenizerSource(fields: GgufFields, vocabularySize: number): SourceTokenizer {
  const model = fields.text(`${prefix}.model`)
  if (model === undefined) throw new TokenizerFormatError(`${prefix}.model`, 'is missing')
  if (model !== 'llama' && model !== 'gpt2') throw new ModelUnsupportedError(`tokenizer ${model.slice(0, 64)}`)
  const pieces = piecesOf(fields, vocabularySize)
  const vocabulary = model === 'llama' ? scoredVocabulary(fields, pieces) : mergedVocabulary(fields, pieces)
  const bytes = encodeGgufVocabulary(vocabulary)
  if (bytes.length > maximumTokenizerBytes) {
    throw new TokenizerFormatError(prefix, `${bytes.length} bytes, at most ${maximumTokenizerBytes} are kept`)
  }
  return { kind: 'gguf', ...specialTokens(fields, vocabulary), bytes }
}

function scoredVocabulary(fields: GgufFields, pieces: string[]): GgufVocabulary {
  const scores = fields.numbers(`${prefix}.scores`) ?? new Float64Array(pieces.length)
  return {
    formatVersion: 1,
    model: 'llama',
    pieces,
    types: typesOf(fields, pieces.length),
    scores: Array.from(scores),
    addSpacePrefix: fields.flag(`${prefix}.add_space_prefix`) ?? true,
  }
}

function mergedVocabulary(fields: GgufFields, pieces: string[]): GgufVocabulary {
  const pre = fields.text(`${prefix}.pre`) ?? 'default'
  ggufSplits(pre)
  const merges = fields.strings(`${prefix}.merges`)
  if (merges === undefined) throw new TokenizerFormatError(`${prefix}.merges`, 'is missing')
  return { formatVersion: 1, model: 'gpt2', pieces, types: typesOf(fields, pieces.length), pre, merges: [...merges] }
}

/** At most as many as the embedding has rows: the rest of the vocabulary costs a multiple of them. */
function piecesOf(fields: GgufFields, vocabularySize: number): string[] {
  const pieces = fields.strings(`${prefix}.tokens`)
  if (pieces === undefined || pieces.length === 0) throw new TokenizerFormatError(`${prefix}.tokens`, 'is missing')
  if (pieces.length > vocabularySize) {
    throw new TokenizerFormatError(
      `${prefix}.tokens`,
      `${pieces.length} pieces, the embedding has ${vocabularySize} rows`,
    )
  }
  return pieces.map((piece, id) => (piece === '' ? `[EMPTY_${id}]` : piece))
}

function typesOf(fields: GgufFields, count: number): number[] {
  const types = fields.numbers(`${prefix}.token_type`)
  return types === undefined ? new Array<number>(count).fill(tokenTypes.normal) : Array.from(types)
}

function specialTokens(fields: GgufFields, vocabulary: GgufVocabulary) {
  const size = vocabulary.pieces.length
  const token = (name: string) => {
    const id = fields.count(`${prefix}.${name}_token_id`)
    if (id === undefined || id < size) return id
    throw new TokenizerFormatError(`${prefix}.${name}_token_id`, `${id} is outside the vocabulary of ${size}`)
  }
  const isScored = vocabulary.model === 'llama'
  const begin = token('bos') ?? (isScored ? 1 : null)
  const begins = fields.flag(`${prefix}.add_bos_token`) ?? (isScored || beginsTexts(vocabulary.pre))
  const end = token('eos') ?? (isScored ? 2 : undefined)
  const ends = [end, token('eot')].filter((id) => id !== undefined)
  return { beginToken: begins ? begin : null, endTokens: [...new Set(ends)] }
}
