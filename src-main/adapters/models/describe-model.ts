/** A source's manifest: every tensor hashed once, on its way to wherever the caller takes the bytes. */
import { createHash } from 'node:crypto'
import { digestSchema } from '#contracts/digest.ts'
import type { ModelManifest, TensorEntry } from '#contracts/model/manifest.ts'
import { modelDigest } from '#core/models/model-digest.ts'
import type { ImportProgress } from '#core/ports/model-store.ts'
import type { ModelSource } from './model-source.ts'
import { type TensorPlan, tensorBytes } from './safetensors-writer.ts'
import { sha256 } from './stored-model.ts'

export interface ReadOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ImportProgress) => void
}

export interface TensorHasher {
  /** Passes the tensor's chunks on and remembers their digest once all have come. */
  read(tensor: TensorPlan): AsyncIterable<Uint8Array>
  /** The manifest, once every tensor has been read to its end. */
  manifest(name: string): ModelManifest
}

export function createTensorHasher(source: ModelSource, { signal, onProgress }: ReadOptions): TensorHasher {
  const entries: TensorEntry[] = []
  const bytesTotal = source.tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
  let bytesDone = 0
  return {
    async *read(tensor) {
      const hash = createHash('sha256')
      for await (const chunk of source.read(tensor.name, signal)) {
        hash.update(chunk)
        yield chunk
        bytesDone += chunk.length
        onProgress?.({ bytesDone, bytesTotal })
      }
      entries.push(toEntry(tensor, hash.digest('hex')))
    },
    manifest: (name) => toManifest(source, entries, name),
  }
}

/** Hashes a source in place, keeping nothing. */
export async function describeModel(source: ModelSource, options: ReadOptions = {}): Promise<ModelManifest> {
  const hasher = createTensorHasher(source, options)
  for (const tensor of source.tensors) for await (const _ of hasher.read(tensor));
  return hasher.manifest(source.suggestedName)
}

function toEntry({ name, dtype, shape }: TensorPlan, digest: string): TensorEntry {
  return { name, dtype, shape: [...shape], sha256: digestSchema.parse(digest) }
}

function toManifest(source: ModelSource, tensors: TensorEntry[], name: string): ModelManifest {
  const { bytes, ...tokenizer } = source.tokenizer
  return {
    formatVersion: 1,
    digest: modelDigest(source.config, tensors),
    name,
    config: source.config,
    tensors,
    tokenizer: { ...tokenizer, sha256: digestSchema.parse(sha256(bytes)) },
    licence: source.licence,
  }
}
