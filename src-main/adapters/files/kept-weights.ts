/**
 * The folder of prepared files that are kept. Whoever uses one holds a hard link of their own to it: replacing, evicting or
 * clearing a kept file then takes nothing from under anyone, in this process or another, and the count of links tells
 * which files are in use. On a disk without hard links the kept file is used itself, and only this process knows of it.
 */
import { link, lstat, mkdir, readdir, rename, rm, utimes } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { namingStorage, systemCode } from '#core/storage-errors.ts'
import { parsePreparedFileName } from './prepared-key.ts'
import { privatePath, removePrivate, sweepPrivate } from './private-files.ts'

interface KeptFile {
  readonly name: string
  readonly modelDigest: string
  readonly bytes: number
  readonly usedAtMs: number
  readonly inUse: boolean
}

export interface KeptWeights {
  /** Makes the folder and removes what killed processes left there. */
  prepare(): Promise<void>
  list(): Promise<readonly KeptFile[]>
  /** A path to the kept file that stays when it is replaced or removed; null when there is none. Marks it as used now. */
  hold(name: string): Promise<string | null>
  /** A new path for a file that is being made. */
  newPath(name: string): string
  /** Puts the finished file at `path` under `name`, if it fits. Returns where it is from now on. */
  keep(name: string, path: string): Promise<string>
  /** Gives up a path of `hold` or `keep`. */
  letGo(path: string): Promise<void>
  remove(file: KeptFile): Promise<boolean>
}

export interface KeptWeightsInit {
  readonly directory: string
  readonly limitBytes: number | undefined
  /** Whether this process uses the file. */
  readonly isHeld: (name: string) => boolean
}

export function createKeptWeights({ directory, limitBytes, isHeld }: KeptWeightsInit): KeptWeights {
  const place = (name: string) => join(directory, name)

  async function describe(name: string): Promise<KeptFile | null> {
    const key = parsePreparedFileName(name)
    const found = key === null ? null : await lstat(place(name)).catch(() => null)
    if (key === null || found === null) return null
    const { size: bytes, mtimeMs: usedAtMs, nlink } = found
    return { name, modelDigest: key.modelDigest, bytes, usedAtMs, inUse: nlink > 1 || isHeld(name) }
  }

  async function list(): Promise<KeptFile[]> {
    const names = await namingStorage(directory, () => readdir(directory))
    return (await Promise.all(names.map(describe))).filter((file) => file !== null)
  }

  async function remove({ name }: KeptFile): Promise<boolean> {
    return rm(place(name), { force: true }).then(
      () => true,
      () => false,
    )
  }

  /** Least recently used files go until `bytes` more fit. */
  async function makeRoom(name: string, bytes: number): Promise<boolean> {
    if (limitBytes === undefined) return true
    await sweepPrivate(directory)
    const { evicted, fits } = chooseEvicted(
      (await list()).filter((file) => file.name !== name),
      limitBytes - bytes,
    )
    if (!fits) return false
    const removed = await Promise.all(evicted.map(remove))
    return removed.every(Boolean)
  }

  return {
    list,
    remove,
    async prepare() {
      await namingStorage(directory, async () => {
        await mkdir(directory, { recursive: true, mode: 0o700 })
        await sweepPrivate(directory)
      })
    },
    async hold(name) {
      const own = privatePath(directory, name)
      const linked = await link(place(name), own).then(
        () => 'linked',
        (error: unknown) => systemCode(error),
      )
      if (linked !== 'linked') await removePrivate(own)
      if (linked === 'ENOENT') return null
      const path = linked === 'linked' ? own : place(name)
      const now = new Date()
      await utimes(path, now, now).catch(() => undefined)
      return path
    },
    newPath: (name) => privatePath(directory, name),
    async keep(name, path) {
      const { size } = await namingStorage(path, () => lstat(path))
      if (!(await makeRoom(name, size))) return path
      return publish(path, place(name), privatePath(directory, name))
    },
    async letGo(path) {
      if (parsePreparedFileName(basename(path)) === null) await removePrivate(path)
    },
  }
}

/** Pure: the unused files to remove, oldest use first, for the rest to take no more than `limitBytes`. */
export function chooseEvicted(
  files: readonly KeptFile[],
  limitBytes: number,
): { readonly evicted: readonly KeptFile[]; readonly fits: boolean } {
  let total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  const evicted: KeptFile[] = []
  for (const file of files.filter(({ inUse }) => !inUse).sort((a, b) => a.usedAtMs - b.usedAtMs)) {
    if (total <= limitBytes) break
    evicted.push(file)
    total -= file.bytes
  }
  return { evicted, fits: total <= limitBytes }
}

/**
 * One rename over whatever is kept under `kept`. Returns the path to use: `own`, which stays a link to the same file, or
 * `kept` where there are no links. A file that cannot be replaced (Windows, when another process has it open) stays.
 */
async function publish(own: string, kept: string, spare: string): Promise<string> {
  const done = () => true
  const refused = () => false
  const linked = await link(own, spare).then(done, refused)
  const renamed = await rename(linked ? spare : own, kept).then(done, refused)
  await removePrivate(spare)
  if (linked || !renamed) return own
  await removePrivate(own)
  return kept
}
