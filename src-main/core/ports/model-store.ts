/**
 * Where base models live on this machine. Everything in a store has been checked: a handle never yields a tensor whose
 * shape, type or place in the file contradicts the manifest.
 */
import type { Dtype, ModelManifest } from '#contracts/model/manifest.ts'
import type { TrainingNote } from '#contracts/model/training-note.ts'

/** A tensor's raw bytes as stored, little-endian and row-major. */
export interface StoredTensor {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

export interface ModelHandle {
  readonly manifest: ModelManifest
  /** Reads one tensor, and nothing else, from disk. Throws `ModelFormatError` for an unknown name or short file. */
  readTensor(name: string, options?: { signal?: AbortSignal }): Promise<StoredTensor>
  /** The tokenizer built from the model's own vocabulary file. */
  tokenizer(): Promise<Tokenizer>
  /** What the model was trained on, when it brings a note of it; null, or left out, when not. Throws `ModelFormatError`. */
  trainingNote?(): Promise<TrainingNote | null>
  close(): Promise<void>
}

export interface ImportProgress {
  readonly bytesDone: number
  readonly bytesTotal: number
}

export interface ModelStore {
  list(): Promise<readonly ModelManifest[]>
  /** By name, whole digest, or a prefix of a digest of at least 8 characters. Throws `ModelNotFoundError`. */
  open(nameOrDigest: string): Promise<ModelHandle>
  /** Reads a Hugging Face folder, or a llama2.c `.bin` (file, or folder holding one), checks it all, and stores a copy. */
  import(
    path: string,
    options?: { name?: string; signal?: AbortSignal; onProgress?: (progress: ImportProgress) => void },
  ): Promise<ModelManifest>
}

/** Text to token ids and back, exactly as the model was trained with. */
export interface Tokenizer {
  readonly vocabularySize: number
  readonly beginToken: number | null
  readonly endTokens: readonly number[]
  /** Without special tokens unless they are written out in the text. */
  encode(text: string): number[]
  /** Special tokens are left out of the text. */
  decode(tokens: readonly number[]): string
  /**
   * Decoding token by token: `push` returns the text that became certain (never half a UTF-8 character), `end` the rest.
   * The pieces joined equal `decode` of all tokens.
   */
  decodeStream(): { push(token: number): string; end(): string }
}
