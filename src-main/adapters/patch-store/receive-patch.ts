/** Patches that arrive piece by piece. */
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import type { PatchHead } from '#contracts/patch-file/patch-head.ts'
import { PatchNotFoundError, StorageError } from '#core/errors.ts'
import type { IncomingPatch, KeptPatch } from '#core/ports/patch-library.ts'
import { type IncomingFile, openIncomingFile } from './incoming-patch.ts'
import type { PatchFiles } from './patch-files.ts'
import type { PatchRows } from './patch-rows.ts'
import type { Shelf } from './shelf.ts'

export interface Arrivals {
  /** The row is there. Throws `StorageError` when somebody fetches it already. */
  open(head: PatchHead, headBytes: Uint8Array): Promise<IncomingPatch>
  /** Lets go of one that is to be removed, or of all. */
  drop(digest: PatchHead['digest']): Promise<void>
  dropAll(): Promise<void>
}

export function createArrivals(components: {
  readonly rows: PatchRows
  readonly files: PatchFiles
  readonly shelf: Shelf
  readonly onChange: () => void
}): Arrivals {
  const { rows, files, shelf, onChange } = components
  /** Null while it is being opened. */
  const under = new Map<PatchHead['digest'], IncomingFile | null>()

  async function drop(digest: PatchHead['digest']): Promise<void> {
    const file = under.get(digest)
    if (file == null) return
    under.delete(digest)
    await file.close()
    files.release(digest)
  }

  function claim({ digest }: PatchHead): void {
    if (under.has(digest) || !rows.locked(() => files.claim(digest))) {
      throw new StorageError(digest, 'the patch is being fetched already')
    }
    under.set(digest, null)
  }

  async function open(head: PatchHead, headBytes: Uint8Array): Promise<IncomingPatch> {
    const { digest } = head
    claim(head)
    try {
      const file = await openIncomingFile(files.arrivingPath(digest), head, headBytes)
      under.set(digest, file)
      return arrivalOf(head, file, shelf.describe(digest))
    } catch (error) {
      under.delete(digest)
      files.release(digest)
      throw error
    }
  }

  function arrivalOf(head: PatchHead, file: IncomingFile, kept: KeptPatch): IncomingPatch {
    const { digest } = head

    function expectHeld(): void {
      if (under.get(digest) !== file) throw new PatchNotFoundError(digest)
    }

    /** Every byte is as the author signed it, and still it is no patch: nobody has a better one. */
    function giveUp(): void {
      rows.locked(() => {
        rows.remove(digest)
        files.removeArriving(digest)
      })
      onChange()
    }

    function settle(): void {
      rows.locked(() => {
        files.place(files.arrivingPath(digest), digest)
        rows.setComplete(digest)
        files.removeArriving(digest)
      })
      onChange()
    }

    return {
      get patch() {
        return { ...kept, receivedBytes: file.receivedBytes }
      },
      next: file.next,
      async append(bytes) {
        expectHeld()
        const result = await file.append(bytes)
        onChange()
        return result
      },
      async discardSection() {
        expectHeld()
        await file.discardSection()
      },
      async finish() {
        expectHeld()
        if (file.next() !== null) throw new RangeError('not all of the patch is here')
        await drop(digest)
        try {
          await shelf.check(files.arrivingPath(digest))
        } catch (error) {
          if (error instanceof PatchFormatError) giveUp()
          throw error
        }
        settle()
        return shelf.describe(digest)
      },
      async close() {
        if (under.get(digest) === file) await drop(digest)
      },
    }
  }

  return {
    open,
    drop,
    async dropAll() {
      for (const digest of [...under.keys()]) await drop(digest)
    },
  }
}
