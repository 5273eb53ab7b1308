/** Patches to and from files, our own and those of other programs. What is written stands there whole or not at all. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { ByteSource } from '#contracts/patch-file/byte-source.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import type { ModelHandle } from './model-store.ts'

/** What of a foreign file deserves a word to whoever imports it. */
export type AdapterWarning =
  /** The file names its base, if at all, by a name that anybody may use: that the base is the right one is the importer's word. */
  | { readonly kind: 'base-unverified'; readonly baseName: string | null }
  /** It says how its numbers are to be changed while training only, which a patch does not keep. */
  | { readonly kind: 'dropout-dropped'; readonly dropout: number }

export interface ImportedAdapter {
  readonly method: 'ia3' | 'lora'
  readonly content: PatchContent
  /** The file's or folder's own name. */
  readonly suggestedTitle: string
  readonly licence: string | null
  readonly warnings: readonly AdapterWarning[]
}

export interface WrittenFiles {
  /** The folder or file that was made. */
  readonly path: string
  readonly bytes: number
}

export interface WriteOptions {
  /** Where nothing is yet; throws `InvalidInputError` otherwise. */
  readonly path: string
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: { readonly bytesDone: number; readonly bytesTotal: number }) => void) | undefined
}

/** An open file. */
export interface OpenedBytes extends ByteSource {
  close(): Promise<void>
}

export interface PatchInterop {
  /**
   * What a path holds, by a file's first bytes, and by its name: a patch file, or an adapter of another program. Null when
   * nothing is there.
   */
  kindOf(path: string): Promise<'patch' | 'adapter' | null>
  /** Throws `InvalidInputError` for what is no file or cannot be read. Reading it throws `PatchFormatError` when it has shrunk. */
  openPatchFile(path: string): Promise<OpenedBytes>
  writePatchFile(pieces: AsyncIterable<Uint8Array>, options: WriteOptions): Promise<WrittenFiles>
  /**
   * A PEFT adapter: its folder, or its .safetensors file with `adapter_config.json` beside. `config` is the base's. Throws
   * `ModelFormatError` for broken files, `ModelUnsupportedError` for adapters that a patch cannot hold, `PatchMismatchError`
   * for those that do not fit the base.
   */
  readAdapter(path: string, config: ModelConfig, options?: { readonly signal?: AbortSignal }): Promise<ImportedAdapter>
  /** As a PEFT adapter folder. Throws `InvalidInputError` for what PEFT has no form for: sparse deltas, scales and factors together. */
  writeAdapter(
    content: PatchContent,
    base: { readonly name: string; readonly config: ModelConfig },
    options: WriteOptions,
  ): Promise<WrittenFiles>
  /**
   * The base with the patches in its weights, as a Hugging Face folder. Changed tensors are float32, so that nothing is
   * rounded; the others keep their bytes. `importable` is false when the base's vocabulary is not of Hugging Face's kind.
   */
  writePatchedModel(
    model: ModelHandle,
    patches: readonly PatchContent[],
    options: WriteOptions,
  ): Promise<WrittenFiles & { readonly importable: boolean }>
  /** One safetensors file with a CSR matrix for each tensor that deltas change. Throws `InvalidInputError` for other changes. */
  writeSparseUpdate(content: PatchContent, options: WriteOptions): Promise<WrittenFiles>
}
