/**
 * What a model was trained on, in few bytes and without the text: a sample of its 13-word sequences as a Bloom filter
 * (Bloom 1970). Whoever is about to train on a text can be told that the model knows it. `training-note.json` beside a
 * model's files holds one; `docs/formats/training-data.md` says how it is made.
 */
import * as z from 'zod'

export const trainingNoteFileName = 'training-note.json'
export const maximumTrainingNoteBytes = 1 << 20

export const trainingNoteSchema = z.strictObject({
  formatVersion: z.literal(1),
  /** For people: which text, from where. */
  source: z.string().min(1).max(500),
  /** Words of a sequence. */
  words: z.int().min(1).max(64),
  /** One sequence of so many is kept: those whose hash this divides. */
  oneIn: z.int().min(1).max(65_536),
  /** Sequences kept. */
  entries: z.int().min(1).max(1_000_000),
  /** Bits set for each. */
  probes: z.int().min(1).max(32),
  /** The filter in hexadecimal; bit i is bit i % 8 of byte i / 8. */
  bits: z
    .string()
    .regex(/^(?:[0-9a-f]{2})+$/, 'expected hexadecimal')
    .max(maximumTrainingNoteBytes),
})
export type TrainingNote = Readonly<z.infer<typeof trainingNoteSchema>>
