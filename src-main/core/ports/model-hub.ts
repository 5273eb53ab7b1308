/** Where base models are published. What comes from there is checked against what the hub, or a manifest, states of it. */
import type { ModelManifest } from '#contracts/model/manifest.ts'
import type { StoredTensor } from './model-store.ts'

/** How a file's bytes are known: its own SHA-256, or Git's SHA-1 of it as a blob. */
export type HubDigest = { readonly kind: 'sha256' | 'git-blob-sha1'; readonly hex: string }

export interface HubFile {
  /** Relative, with slashes; never leads out of the folder it is put in. */
  readonly path: string
  readonly sizeBytes: number
  readonly digest: HubDigest
}

/** A published model at one revision, before anything large is fetched. */
export interface HubModel {
  /** `owner/name`. */
  readonly repository: string
  /** The commit that a branch or tag stood for: 40 hex characters. */
  readonly revision: string
  readonly files: readonly HubFile[]
  readonly licence: string | null
  /** What `config.json` says; null when there is none. */
  readonly config: { readonly modelType: string | null; readonly blockCount: number | null } | null
}

export interface DownloadProgress {
  /** Of all files asked for, with what earlier tries had brought. */
  readonly bytesDone: number
  readonly bytesTotal: number
}

export interface DownloadOptions {
  /** Made if need be. Files are put at their paths in it. */
  readonly directory: string
  /** Paths of `model.files`. */
  readonly files: readonly string[]
  /** Bytes that have to stay free on the disk besides. */
  readonly reserveBytes?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: DownloadProgress) => void
}

export interface FetchTensorsOptions {
  /** What the tensors have to be: each is checked against its SHA-256 there. */
  readonly manifest: ModelManifest
  /** Canonical names, as of the blocks that are wanted. */
  readonly names: readonly string[]
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: DownloadProgress) => void
}

/** All throw `DownloadError` when the hub cannot be reached, refuses, or sends something else than it stated. */
export interface ModelHub {
  /** `revision` is a branch, tag or commit; the hub's main branch when left out. Throws `InvalidInputError` for odd names. */
  describe(repository: string, options?: { revision?: string; signal?: AbortSignal }): Promise<HubModel>
  /**
   * Fetches files, goes on where a try before this one stopped, and checks each against its digest: what is at its path when
   * this resolves is whole. When it throws, what had arrived stays for the next try, unless it was wrong. Throws
   * `StorageError` when the disk has no room.
   */
  download(model: HubModel, options: DownloadOptions): Promise<void>
  /**
   * Fetches single tensors of a model in safetensors files, reading nothing else but the files' headers; one after the
   * other, in the order of `names`. For hosting some blocks of a model that does not fit as a whole.
   */
  fetchTensors(model: HubModel, options: FetchTensorsOptions): AsyncGenerator<StoredTensor, void, undefined>
}
