/** Counts who uses a file: the first makes it ready, others wait for that, and the last one's release gives it up. */
import type { PreparedFile } from '#core/ports/weight-cache.ts'

type ReadyFile = Omit<PreparedFile, 'release'>

interface Use {
  users: number
  readonly ready: Promise<ReadyFile>
}

export interface SharedUses {
  has(name: string): boolean
  /**
   * The file called `name`, made ready by `obtain` unless somebody uses it or is at it. When another caller's `obtain` fails
   * or is aborted, this caller's own is tried: one caller's failure is not another's.
   */
  use(name: string, obtain: () => Promise<ReadyFile>, signal?: AbortSignal): Promise<PreparedFile>
}

export function createSharedUses(giveUp: (file: ReadyFile) => Promise<void>): SharedUses {
  const uses = new Map<string, Use>()

  function begin(name: string, obtain: () => Promise<ReadyFile>): Use {
    const ready = obtain()
    const use = { users: 0, ready }
    uses.set(name, use)
    ready.catch(() => forget(name, use))
    return use
  }

  function forget(name: string, use: Use): void {
    if (uses.get(name) === use) uses.delete(name)
  }

  async function leave(name: string, use: Use): Promise<void> {
    use.users--
    if (use.users > 0) return
    forget(name, use)
    await use.ready.then(giveUp, () => undefined)
  }

  /** Waits as one of the users; whoever does not get the file does not count any more. */
  async function join(name: string, use: Use, signal: AbortSignal | undefined): Promise<PreparedFile> {
    use.users++
    try {
      const file = await untilAborted(use.ready, signal)
      return { ...file, release: onlyOnce(() => leave(name, use)) }
    } catch (error) {
      await leave(name, use)
      throw error
    }
  }

  return {
    has: (name) => uses.has(name),
    async use(name, obtain, signal) {
      for (;;) {
        signal?.throwIfAborted()
        const theirs = uses.get(name)
        // Who is at the work waits for its end also when aborted: then everything is cleaned up.
        if (theirs === undefined) return join(name, begin(name, obtain), undefined)
        const file = await join(name, theirs, signal).catch(() => null)
        if (file !== null) return file
      }
    },
  }
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  let abort = () => {}
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function onlyOnce(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | null = null
  return () => {
    done ??= work()
    return done
  }
}
