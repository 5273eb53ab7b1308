/** What is here, found and read: rows, heads and files seen as patches. */
import { open } from 'node:fs/promises'
import type { Digest } from '#contracts/digest.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { type PatchHead, parsePatchHead } from '#contracts/patch-file/patch-head.ts'
import { openPatch, type PatchReader } from '#contracts/patch-file/read-patch.ts'
import { PatchNotFoundError, StorageError } from '#core/errors.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import type { KeptPatch } from '#core/ports/patch-library.ts'
import { namingStorage } from '#core/storage-errors.ts'
import { checkContent } from './check-content.ts'
import { createHeadCache } from './head-cache.ts'
import { fileSource, type PatchFiles } from './patch-files.ts'
import type { PatchRow, PatchRows } from './patch-rows.ts'

const minimumPrefix = 8

export interface Shelf {
  headOf(digest: Digest): PatchHead
  describe(digest: Digest): KeptPatch
  describeAll(rows: readonly PatchRow[]): readonly KeptPatch[]
  /** By digest, tag, or prefix of a digest. Throws `PatchNotFoundError`, or `InvalidInputError` for one that is ambiguous. */
  find(name: string): KeptPatch
  /** Throws `PatchNotFoundError` for one that is not all here, or whose mask is not. */
  read(digest: Digest, signal?: AbortSignal): Promise<PatchContent>
  bytes(digest: Digest, offset: number, length: number): Promise<Uint8Array>
  /** Reads all of the file at `path`. Throws `PatchFormatError` unless it is a patch. */
  check(path: string, signal?: AbortSignal): Promise<void>
  forget(digest: Digest): void
}

export function createShelf(components: {
  readonly rows: PatchRows
  readonly files: PatchFiles
  readonly verifier: SignatureVerifier
}): Shelf {
  const { rows, files, verifier } = components
  const heads = createHeadCache()

  function expectRow(digest: Digest): PatchRow {
    const row = rows.one(digest)
    if (row === null) throw new PatchNotFoundError(digest)
    return row
  }

  function expectComplete(digest: Digest): PatchRow {
    const row = expectRow(digest)
    if (row.complete === 0) throw new PatchNotFoundError(digest)
    return row
  }

  const headOf = (digest: Digest): PatchHead =>
    heads.get(digest, () => {
      const bytes = rows.head(digest)
      if (bytes === null) throw new PatchNotFoundError(digest)
      const head = parsePatchHead(Uint8Array.from(bytes))
      if (head.digest !== digest) throw new StorageError(digest, 'the head that is kept of the patch is damaged')
      return head
    })

  function describeRow(row: PatchRow, tags: ReadonlyMap<Digest, readonly string[]>): KeptPatch {
    const { digest, size_bytes: sizeBytes } = row
    const { header, headBytes } = headOf(digest)
    const complete = row.complete === 1
    return {
      digest,
      header,
      headBytes,
      sizeBytes,
      receivedBytes: complete ? sizeBytes : Math.min(sizeBytes, files.sizeOf(files.arrivingPath(digest)) ?? 0),
      complete,
      where: row.origin,
      shared: row.shared === 1,
      tags: tags.get(digest) ?? [],
      addedAtMs: row.added_at_ms,
    }
  }

  const describeAll = (found: readonly PatchRow[]) => {
    const tags = rows.tags()
    return found.map((row) => describeRow(row, tags))
  }

  function findRow(name: string): PatchRow {
    const exact = rows.one(name) ?? rows.tagged(name)
    if (exact !== null) return exact
    const found = name.length >= minimumPrefix && /^[0-9a-f]+$/.test(name) ? rows.withPrefix(name) : []
    if (found.length > 1) throw new InvalidInputError('patch', `several patches begin with ${name}`)
    if (found[0] === undefined) throw new PatchNotFoundError(name)
    return found[0]
  }

  async function withReader<T>(path: string, work: (reader: PatchReader) => Promise<T>): Promise<T> {
    const file = await namingStorage(path, () => open(path, 'r'))
    try {
      const { size } = await file.stat()
      return await work(await openPatch(fileSource(file, size), verifier))
    } finally {
      await file.close()
    }
  }

  /** Null when the patch has its own indices, or the mask is not here. */
  async function sharedMaskOf({ header }: PatchHead, signal?: AbortSignal): Promise<PatchContent | null> {
    const row = header.sharedMask && header.maskDigest !== null ? rows.withMask(header.maskDigest) : null
    return row === null ? null : await read(row.digest, signal)
  }

  async function read(digest: Digest, signal?: AbortSignal): Promise<PatchContent> {
    expectComplete(digest)
    const head = headOf(digest)
    const mask = await sharedMaskOf(head, signal)
    if (head.header.sharedMask && mask === null) {
      throw new PatchNotFoundError(`with the mask ${head.header.maskDigest}`)
    }
    return await withReader(files.wholePath(digest), (reader) =>
      reader.readContent({ signal, sharedMask: mask?.deltas }),
    )
  }

  return {
    headOf,
    describeAll,
    describe: (digest) => describeRow(expectRow(digest), rows.tags()),
    find: (name) => describeRow(findRow(name), rows.tags()),
    read,
    async bytes(digest, offset, length) {
      const { size_bytes: size } = expectComplete(digest)
      if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
        throw new RangeError(`bytes ${offset} to ${offset + length} of ${size}`)
      }
      const path = files.wholePath(digest)
      return await namingStorage(path, async () => {
        const file = await open(path, 'r')
        return await fileSource(file, size)
          .read(offset, length)
          .finally(() => file.close())
      })
    },
    check: (path, signal) =>
      withReader(path, async (reader) => {
        await checkContent(reader, await sharedMaskOf(reader.head, signal), { signal })
      }),
    forget: heads.forget,
  }
}
