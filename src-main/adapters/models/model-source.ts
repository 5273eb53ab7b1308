/**
 * A model as some tool left it on disk, opened, checked, and described in our words; the store copies it from here
 * without knowing the format. Whoever opens a source closes it.
 */
import type { ModelConfig, ModelManifest } from '#contracts/model/manifest.ts'
import type { TensorPlan } from './safetensors-writer.ts'

export interface ModelSource {
  readonly config: ModelConfig
  /** Every tensor of the model and no other, in the order of the source's bytes. */
  readonly tensors: readonly TensorPlan[]
  readonly licence: string | null
  /** A name made of the file's or folder's own. */
  readonly suggestedName: string
  readonly tokenizer: SourceTokenizer
  /** One tensor's bytes; each chunk is only valid until the next is asked for. */
  read(name: string, signal?: AbortSignal): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

/** A vocabulary file that has been parsed once to be sure it is sound. */
export interface SourceTokenizer extends Omit<ModelManifest['tokenizer'], 'sha256'> {
  readonly bytes: Uint8Array
}

/** The file in a model's folder that holds the vocabulary. */
export const tokenizerFileNames = {
  huggingface: 'tokenizer.json',
  llama2c: 'tokenizer.bin',
  gguf: 'tokenizer.gguf.json',
} as const

/** Largest vocabulary file that is read, of any kind. */
export const maximumTokenizerBytes = 64 << 20

/** Turns a file or folder name into a model name: what is not allowed becomes a dash, and it never looks like a digest. */
export function toModelName(fileName: string): string {
  const name = fileName
    .normalize('NFKD')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64)
  if (name === '') return 'model'
  return looksLikeDigest(name) ? `model-${name}`.slice(0, 64) : name
}

/** Such a name could be taken for a model's digest or a prefix of it. */
export function looksLikeDigest(name: string): boolean {
  return /^[0-9a-f]{8,}$/.test(name)
}
