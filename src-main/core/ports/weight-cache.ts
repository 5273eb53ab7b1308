/** Weights prepared for an engine, kept as files so that preparing happens once and loading can map them into memory. */

export interface PreparedKey {
  readonly modelDigest: string
  /** `block-7`, `head`. */
  readonly part: string
  /** Format and layout with its version, as in `int8-128-v1`: other layouts of a part are other files. */
  readonly layout: string
}

export interface PreparedFile {
  /** For runtimes that open files themselves. Valid until `release`. */
  readonly path: string
  readonly byteLength: number
  /** The caller has no more need of the path. A temporary file goes now; a kept one stays. */
  release(): Promise<void>
}

export interface WeightCache {
  /**
   * The file for `key`: the one kept, when it is whole, else made by `write`, which calls `append` with consecutive bytes.
   * Two callers of one key share the work. A file cut short by a crash is never seen. Throws `StorageError` when the disk fails.
   */
  prepare(
    key: PreparedKey,
    write: (append: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
    options?: { signal?: AbortSignal },
  ): Promise<PreparedFile>
}
