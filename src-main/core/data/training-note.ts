/**
 * What a base model was trained on, as a sample of its word sequences, and whether another text is of it. Words are
 * lower-cased runs of letters and digits; a sequence of 13 of them is hashed, and of all sequences those are kept whose
 * hash a number divides (Broder's mod sampling, 1997): the same ones of the same text wherever it is met.
 */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import * as z from 'zod'
import { InvalidInputError } from '#contracts/errors.ts'
import { maximumTrainingNoteBytes, type TrainingNote, trainingNoteSchema } from '#contracts/model/training-note.ts'

const noteWords = 13
const noteOneIn = 128
const noteBitsPerEntry = 14
const noteProbes = 10 // bits per entry * ln 2: a false hit about once in 800

export interface SequenceHash {
  /** Decides whether the sequence is in the sample. */
  readonly first: number
  /** With `first`, decides its bits. */
  readonly second: number
}

/** Makes the note of a text that streams by, as documents: sequences do not reach from one into the next. */
export function createTrainingNote(source: string): { add(text: string): void; end(): TrainingNote } {
  const kept = new Map<string, SequenceHash>()
  return {
    add(text) {
      for (const hash of sampledSequences(text, noteWords, noteOneIn)) kept.set(`${hash.first}.${hash.second}`, hash)
    },
    end() {
      const bits = new Uint8Array(Math.ceil((Math.max(kept.size, 1) * noteBitsPerEntry) / 8))
      for (const hash of kept.values()) {
        for (const bit of probesOf(hash, noteProbes, bits.length * 8))
          bits[bit >> 3] = (bits[bit >> 3] ?? 0) | (1 << (bit & 7))
      }
      return trainingNoteSchema.parse({
        formatVersion: 1,
        source,
        words: noteWords,
        oneIn: noteOneIn,
        entries: kept.size,
        probes: noteProbes,
        bits: bytesToHex(bits),
      })
    },
  }
}

/** Throws `InvalidInputError`. */
export function parseTrainingNote(bytes: Uint8Array): TrainingNote {
  if (bytes.length > maximumTrainingNoteBytes) throw new InvalidInputError('training note', 'too long')
  const text = new TextDecoder('utf-8').decode(bytes)
  const parsed = trainingNoteSchema.safeParse(jsonOrNull(text))
  if (parsed.success) return parsed.data
  throw new InvalidInputError('training note', z.prettifyError(parsed.error).slice(0, 300))
}

export interface SeenText {
  /** Sequences of the text that are in the sample, and those of them the note has. */
  readonly sampled: number
  readonly hits: number
}

/** Compares text after text with what a model was trained on. */
export function createSeenTextFinder(note: TrainingNote): (text: string) => SeenText {
  const bits = hexToBytes(note.bits)
  const has = (hash: SequenceHash) =>
    probesOf(hash, note.probes, bits.length * 8).every((bit) => (((bits[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1)
  return (text) => {
    const sample = sampledSequences(text, note.words, note.oneIn)
    return { sampled: sample.length, hits: sample.filter(has).length }
  }
}

function sampledSequences(text: string, words: number, oneIn: number): SequenceHash[] {
  const hashes: number[] = []
  for (const [word] of text.toLowerCase().matchAll(/[\p{L}\p{N}]+/gu)) hashes.push(wordHash(word))
  const sampled: SequenceHash[] = []
  for (let begin = 0; begin + words <= hashes.length; begin++) {
    let first = 0
    for (let i = 0; i < words; i++) first = Math.imul(first ^ (hashes[begin + i] ?? 0), 0x01000193) + 0x9e3779b9
    first = mix(first)
    if (first % oneIn !== 0) continue
    let second = 0
    for (let i = 0; i < words; i++) second = Math.imul(second, 0x85ebca6b) + mix((hashes[begin + i] ?? 0) + i)
    sampled.push({ first, second: mix(second) })
  }
  return sampled
}

/** FNV-1a (Fowler, Noll, Vo) over UTF-16 code units. */
function wordHash(word: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < word.length; i++) hash = Math.imul(hash ^ word.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** MurmurHash3's finaliser. */
function mix(hash: number): number {
  let word = hash ^ (hash >>> 16)
  word = Math.imul(word, 0x85ebca6b)
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35)
  return (word ^ (word >>> 16)) >>> 0
}

/** Bits by double hashing (Kirsch & Mitzenmacher 2006). */
function probesOf({ first, second }: SequenceHash, probes: number, bits: number): number[] {
  const step = (mix(first ^ second) | 1) >>> 0
  return Array.from({ length: probes }, (_, i) => (second + i * step) % bits)
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
