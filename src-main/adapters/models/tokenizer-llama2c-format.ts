/**
 * llama2.c's vocabulary file (`tokenizer.bin`, `tok512.bin` ...), little-endian: int32 length of the longest piece, then
 * for each token a float32 score, an int32 length and that many bytes. Ids 0, 1, 2 are unknown, begin and end; 3 to 258
 * are the 256 bytes, written `<0x00>` to `<0xFF>`; the rest is text.
 */
import { TokenizerFormatError } from '#core/errors.ts'
import { createPairLookup, type PairMerges } from './merge-pairs.ts'

export const llama2cTokens = {
  begin: 1,
  /** run.c stops at the begin token too: it separates the training texts. */
  end: [1, 2],
  lastControl: 2,
  firstByte: 3,
} as const

const longestPieceBytes = 1024
const firstText = llama2cTokens.firstByte + 256

export interface Llama2cVocabulary extends PairMerges {
  readonly pieces: readonly string[]
  readonly idOf: ReadonlyMap<string, number>
}

/** Whether the bytes are a vocabulary of that many pieces, by their lengths alone. */
export function hasLlama2cPieces(bytes: Uint8Array, vocabularySize: number): boolean {
  try {
    return readRecords(bytes, vocabularySize).length === vocabularySize
  } catch (error) {
    if (error instanceof TokenizerFormatError) return false
    throw error
  }
}

/** Throws `TokenizerFormatError` unless there are exactly `vocabularySize` sound pieces. */
export function parseLlama2cVocabulary(bytes: Uint8Array, vocabularySize: number): Llama2cVocabulary {
  const records = readRecords(bytes, vocabularySize)
  if (records.length < vocabularySize) {
    throw new TokenizerFormatError(label, `${records.length} pieces, the model has ${vocabularySize}`)
  }
  if (records.length < firstText)
    throw new TokenizerFormatError(label, `fewer than the ${firstText} control and byte pieces`)
  const pieces = records.map(({ text }, id) => decodePiece(text, id))
  checkBytePieces(pieces)
  const idOf = new Map<string, number>()
  for (const [id, piece] of pieces.entries()) if (!idOf.has(piece)) idOf.set(piece, id)
  const scores = Float32Array.from(records, ({ score }) => score)
  return { pieces, idOf, score: (token) => scores[token] ?? 0, merge: createPairLookup(pieces, idOf) }
}

const label = 'vocabulary'

interface PieceRecord {
  readonly score: number
  readonly text: Uint8Array
}

function readRecords(bytes: Uint8Array, most: number): PieceRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 4) throw new TokenizerFormatError(label, 'shorter than its header')
  const longest = view.getInt32(0, true)
  if (longest < 1 || longest > longestPieceBytes) {
    throw new TokenizerFormatError(label, `the longest piece is said to have ${longest} bytes`)
  }
  const records: PieceRecord[] = []
  for (let position = 4; position < bytes.length; ) {
    if (records.length === most) throw new TokenizerFormatError(label, `more pieces than the model's ${most}`)
    const record = readRecord(view, bytes, position, longest, records.length)
    records.push(record)
    position += 8 + record.text.length
  }
  return records
}

function readRecord(view: DataView, bytes: Uint8Array, position: number, longest: number, id: number): PieceRecord {
  const where = `${label} piece ${id} at byte ${position}`
  if (position + 8 > bytes.length) throw new TokenizerFormatError(where, 'cut short')
  const score = view.getFloat32(position, true)
  const length = view.getInt32(position + 4, true)
  if (!Number.isFinite(score)) throw new TokenizerFormatError(where, `score ${score}`)
  if (length < 1 || length > longest)
    throw new TokenizerFormatError(where, `length ${length}, expected 1 to ${longest}`)
  if (position + 8 + length > bytes.length) throw new TokenizerFormatError(where, 'cut short')
  return { score, text: bytes.subarray(position + 8, position + 8 + length) }
}

function decodePiece(text: Uint8Array, id: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text)
  } catch (cause) {
    throw new TokenizerFormatError(`${label} piece ${id}`, 'not UTF-8', { cause })
  }
}

function checkBytePieces(pieces: readonly string[]): void {
  for (let byte = 0; byte < 256; byte++) {
    const id = llama2cTokens.firstByte + byte
    const expected = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`
    if (pieces[id] !== expected) throw new TokenizerFormatError(`${label} piece ${id}`, `expected ${expected}`)
  }
}
