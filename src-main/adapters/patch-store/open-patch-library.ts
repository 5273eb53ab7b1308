/**
 * The library: a SQLite file that says what is here, and one file a patch. Files get and lose their names inside of the
 * transactions that write their rows; what a crash between the two leaves is settled when the library is opened: a file
 * without a row goes, a row without a file goes, and a row whose file has its name is complete.
 */
import type { Digest } from '#contracts/digest.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { type PatchHead, verifyPatchHead } from '#contracts/patch-file/patch-head.ts'
import { QuotaExceededError } from '#core/errors.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import type { KeptPatch, PatchLibrary } from '#core/ports/patch-library.ts'
import { namingStorage } from '#core/storage-errors.ts'
import { addPatch } from './add-patch.ts'
import { createPatchFiles } from './patch-files.ts'
import { createPatchRows } from './patch-rows.ts'
import { openPatchesDatabase } from './patches-database.ts'
import { createArrivals } from './receive-patch.ts'
import { reconcile } from './reconcile.ts'
import { createShelf } from './shelf.ts'

export interface PatchLibraryInit {
  /** Path of the database; its folder must exist. */
  readonly file: string
  /** For the patches; made when it is not there. */
  readonly directory: string
  /** Of fetched and imported patches together, arriving ones counted whole. What the owner made counts for nothing. */
  readonly quotaBytes: number
  readonly verifier: SignatureVerifier
  readonly clock: Clock
  /** Told of patches whose files are gone; they are no longer in the library. */
  readonly onLost?: (digest: Digest) => void
}

const maximumTags = 64
const maximumFollows = 1_000

/** Throws `StorageError`. May be open in several processes; only one of them fetches a patch. */
export async function openPatchLibrary(init: PatchLibraryInit): Promise<PatchLibrary> {
  const { file, directory, quotaBytes, verifier, clock } = init
  const files = createPatchFiles(directory)
  const database = openPatchesDatabase(file)
  try {
    return await open()
  } catch (error) {
    database.close()
    throw error
  }

  async function open(): Promise<PatchLibrary> {
    const rows = createPatchRows(database, init)
    for (const digest of await namingStorage(directory, async () => reconcile({ rows, files }))) init.onLost?.(digest)
    const shelf = createShelf({ rows, files, verifier })
    const listeners = new Set<() => void>()
    const changed = () => {
      for (const listener of [...listeners]) listener()
    }
    const arrivals = createArrivals({ rows, files, shelf, onChange: changed })

    function expectRoom({ digest, sizeBytes }: PatchHead, where: KeptPatch['where']): void {
      const wanted = rows.usedBytes() + sizeBytes
      if (where === 'mine' || rows.one(digest) !== null || wanted <= quotaBytes) return
      throw new QuotaExceededError('patches from others', wanted, quotaBytes)
    }

    function expectTags(digest: Digest, tag: string): void {
      const { tags } = shelf.describe(digest)
      if (tags.length < maximumTags || tags.includes(tag)) return
      throw new InvalidInputError('tag', `a patch has at most ${maximumTags}`)
    }

    return {
      list: async (filter = {}) => shelf.describeAll(rows.all(filter)),
      get: async (name) => shelf.find(name),
      async add(bytes, options) {
        const kept = await addPatch({ rows, files, shelf, verifier, clock, expectRoom }, bytes, options)
        changed()
        return kept
      },
      read: (digest, { signal } = {}) => shelf.read(digest, signal),
      bytes: shelf.bytes,
      async receive(headBytes) {
        const head = await verifyPatchHead(headBytes, verifier)
        if (rows.one(head.digest)?.complete === 1) throw new InvalidInputError('patch', 'it is here already')
        rows.locked(() => rows.insert({ head, headBytes, where: 'fetched', addedAtMs: clock.now() }))
        const arrival = await arrivals.open(head, headBytes)
        changed()
        return arrival
      },
      async withMask(maskDigest) {
        const row = rows.withMask(maskDigest)
        return row === null ? null : shelf.describe(row.digest)
      },
      async setShared(digest, shared) {
        shelf.describe(digest)
        rows.setShared(digest, shared)
        changed()
        return shelf.describe(digest)
      },
      async tag(tag, digest) {
        if (digest !== null) expectTags(digest, tag)
        rows.setTag(tag, digest)
        changed()
      },
      async remove(digest) {
        shelf.describe(digest)
        await arrivals.drop(digest)
        await namingStorage(directory, async () =>
          rows.locked(() => {
            rows.remove(digest)
            files.removeWhole(digest)
            files.removeArriving(digest)
          }),
        )
        shelf.forget(digest)
        changed()
      },
      usage: async () => ({ bytes: rows.usedBytes(), quotaBytes }),
      follows: async () => rows.follows(),
      async follow(peerId, name) {
        const others = rows.follows().filter((follow) => follow.peerId !== peerId)
        if (others.length >= maximumFollows) {
          throw new InvalidInputError('peerId', `at most ${maximumFollows} are followed`)
        }
        rows.follow(peerId, name)
        changed()
      },
      async unfollow(peerId) {
        rows.unfollow(peerId)
        changed()
      },
      onChange(listener) {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      },
      async close() {
        listeners.clear()
        await arrivals.dropAll()
        if (!database.open) return
        try {
          database.pragma('optimize')
          database.pragma('wal_checkpoint(TRUNCATE)')
        } finally {
          database.close()
        }
      },
    }
  }
}
