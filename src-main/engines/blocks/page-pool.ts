/**
 * KV memory in pages: each holds the keys and values of `pageSlots` consecutive positions in one block. Pages are counted by
 * how many sessions hold them, so that sessions with a common beginning share it; whoever writes to a shared page gets a
 * copy of its own first.
 */
import type { Workspace } from '../kernels/workspace.ts'

export interface PagePool {
  readonly pageBytes: number
  /** Bytes of pages held by sessions now. */
  readonly bytesInUse: number
  /** A page of its own for the caller, with whatever was in it. Throws `WorkspaceFullError` when the workspace's limit is reached. */
  acquire(): number
  /** One more holder. */
  share(page: number): void
  release(page: number): void
  /** `page` when the caller alone holds it, else a copy, in exchange for the caller's hold on `page`. */
  own(page: number): number
}

export function createPagePool(workspace: Workspace, pageBytes: number): PagePool {
  const pages = workspace.createPages(pageBytes)
  const holders = new Map<number, number>()

  function acquire(): number {
    const page = pages.take()
    holders.set(page, 1)
    return page
  }
  function release(page: number): void {
    const left = (holders.get(page) ?? 1) - 1
    if (left > 0) {
      holders.set(page, left)
      return
    }
    holders.delete(page)
    pages.give(page)
  }

  return {
    pageBytes,
    get bytesInUse() {
      return holders.size * pageBytes
    },
    acquire,
    share(page) {
      holders.set(page, (holders.get(page) ?? 0) + 1)
    },
    release,
    own(page) {
      if (holders.get(page) === 1) return page
      const copy = acquire()
      workspace.floats(copy, pageBytes / 4).set(workspace.floats(page, pageBytes / 4))
      release(page)
      return copy
    },
  }
}
