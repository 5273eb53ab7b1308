/**
 * Prepared weights as files: kept in a folder for the next start, or for the time of their use only. Callers of one key
 * share one file, which is checked or made once and given up when the last of them releases it.
 */
import { tmpdir } from 'node:os'
import type { WeightCache } from '#core/ports/weight-cache.ts'
import { createSerialQueue } from '#core/serial-queue.ts'
import { createKeptWeights } from './kept-weights.ts'
import { checkPrepared, type WriteBytes, writePrepared } from './prepared-file.ts'
import { preparedFileName } from './prepared-key.ts'
import { privatePath, removePrivate, sweepPrivate } from './private-files.ts'
import { createSharedUses } from './shared-uses.ts'

export interface WeightCacheUsage {
  readonly files: number
  readonly bytes: number
}

/** What whoever looks after the disk asks besides the port. */
export interface KeepingWeightCache extends WeightCache {
  /** What is kept now, on disk, used or not. */
  usage(): Promise<WeightCacheUsage>
  /** Removes what is kept, of one model or of all; returns what went. Files in use go when their users release them. */
  clear(modelDigest?: string): Promise<WeightCacheUsage>
}

export interface WeightCacheInit {
  /** Made when first used; for this cache alone. */
  readonly directory: string
  /**
   * The most that kept files take. To stay below, the least recently used go first, never one in use; a file that does not
   * fit beside those in use is made for the time of its use only.
   */
  readonly limitBytes?: number
}

/** Keeps what it prepares. Several processes may use one folder; a kept file is read through once before it is used again. */
export function createWeightCache({ directory, limitBytes }: WeightCacheInit): KeepingWeightCache {
  const uses = createSharedUses((file) => kept.letGo(file.path))
  const kept = createKeptWeights({ directory, limitBytes, isHeld: uses.has })
  const publishing = createSerialQueue()
  const ready = once(kept.prepare)

  async function find(name: string, signal: AbortSignal | undefined) {
    const path = await kept.hold(name)
    if (path === null) return null
    const byteLength = await checkPrepared(path, signal).catch(async (error: unknown) => {
      await kept.letGo(path)
      throw error
    })
    if (byteLength === null) await kept.letGo(path)
    return byteLength === null ? null : { path, byteLength }
  }

  async function make(name: string, write: WriteBytes, signal: AbortSignal | undefined) {
    const path = kept.newPath(name)
    try {
      const byteLength = await writePrepared(path, write, signal)
      return { path: await publishing.add(() => kept.keep(name, path)), byteLength }
    } catch (error) {
      await kept.letGo(path)
      throw error
    }
  }

  return {
    async prepare(key, write, { signal } = {}) {
      const name = preparedFileName(key)
      await ready()
      return uses.use(name, async () => (await find(name, signal)) ?? make(name, write, signal), signal)
    },
    async usage() {
      await ready()
      return sum(await kept.list())
    },
    async clear(modelDigest) {
      await ready()
      const files = (await kept.list()).filter((file) => modelDigest === undefined || file.modelDigest === modelDigest)
      const removed = await Promise.all(files.map(kept.remove))
      return sum(files.filter((_, index) => removed[index]))
    },
  }
}

/** Keeps nothing: a file lies in the system's folder for temporary files until its last user releases it. */
export function createTemporaryWeightCache(): WeightCache {
  const prefix = 'quiltbee-weights'
  const uses = createSharedUses((file) => removePrivate(file.path))
  const ready = once(() => sweepPrivate(tmpdir(), prefix))

  async function make(name: string, write: WriteBytes, signal: AbortSignal | undefined) {
    const path = privatePath(tmpdir(), `${prefix}-${name}`)
    try {
      return { path, byteLength: await writePrepared(path, write, signal) }
    } catch (error) {
      await removePrivate(path)
      throw error
    }
  }

  return {
    async prepare(key, write, { signal } = {}) {
      const name = preparedFileName(key)
      await ready()
      return uses.use(name, () => make(name, write, signal), signal)
    },
  }
}

function sum(files: readonly { readonly bytes: number }[]): WeightCacheUsage {
  return { files: files.length, bytes: files.reduce((total, { bytes }) => total + bytes, 0) }
}

/** Runs `work` the first time, and again after it failed. */
function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | null = null
  return () => {
    done ??= work().catch((error: unknown) => {
      done = null
      throw error
    })
    return done
  }
}
