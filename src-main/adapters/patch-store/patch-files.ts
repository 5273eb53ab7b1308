/**
 * The library's files. A patch that is whole lies under its digest; one that is arriving in a folder of its own, beside a
 * note of the process that fetches it; one that is being added under a name of its process. So whatever a killed process
 * leaves is recognised by the next:
 *
 *     <directory>/<digest>.patch
 *     <directory>/incoming/<digest>/patch, owner
 *     <directory>/incoming/<process>-<random>.tmp
 *
 * What changes names is synchronous: it happens inside of the database's transactions, under their lock.
 */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import type { ByteSource } from '#contracts/patch-file/byte-source.ts'
import { systemCode } from '#core/storage-errors.ts'

export interface PatchFiles {
  wholePath(digest: Digest): string
  arrivingPath(digest: Digest): string
  newTemporary(): string
  /** Makes the folders, and removes what processes that are no more were adding. */
  prepare(): void
  /** Digests of what is here. */
  wholeOnes(): readonly Digest[]
  arrivingOnes(): readonly Digest[]
  /** Null when there is none. */
  sizeOf(path: string): number | null
  /** Makes the folder of an arriving patch this process's own; false while another one fetches it. */
  claim(digest: Digest): boolean
  release(digest: Digest): void
  /** The file at `path`, which is closed and on the disk, becomes the whole patch; that is on the disk, too. */
  place(path: string, digest: Digest): void
  removeWhole(digest: Digest): void
  removeArriving(digest: Digest): void
}

export function createPatchFiles(directory: string): PatchFiles {
  const incoming = join(directory, 'incoming')
  const wholePath = (digest: Digest) => join(directory, `${digest}.patch`)
  const folderOf = (digest: Digest) => join(incoming, digest)
  const ownerPath = (digest: Digest) => join(folderOf(digest), 'owner')

  function ownerOf(digest: Digest): number | null {
    try {
      const note = readFileSync(ownerPath(digest), 'latin1')
      return /^\d{1,10}$/.test(note) ? Number(note) : null
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return null
      throw error
    }
  }

  return {
    wholePath,
    arrivingPath: (digest) => join(folderOf(digest), 'patch'),
    newTemporary: () => join(incoming, `${process.pid}-${randomBytes(8).toString('hex')}.tmp`),
    prepare() {
      mkdirSync(incoming, { recursive: true, mode: 0o700 })
      for (const name of readdirSync(incoming)) {
        const pid = /^(\d{1,10})-[0-9a-f]{16}\.tmp$/.exec(name)?.[1]
        if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(incoming, name), { force: true })
      }
    },
    wholeOnes: () => readdirSync(directory).flatMap((name) => digestIn(name, '.patch')),
    arrivingOnes: () => readdirSync(incoming).flatMap((name) => digestIn(name, '')),
    sizeOf(path) {
      return statSync(path, { throwIfNoEntry: false })?.size ?? null
    },
    claim(digest) {
      mkdirSync(folderOf(digest), { recursive: true, mode: 0o700 })
      const owner = ownerOf(digest)
      if (owner !== null && owner !== process.pid && isAlive(owner)) return false
      writeFileSync(ownerPath(digest), String(process.pid), { mode: 0o600 })
      return true
    },
    release: (digest) => rmSync(ownerPath(digest), { force: true }),
    place(path, digest) {
      renameSync(path, wholePath(digest))
      syncDirectory(directory)
    },
    removeWhole: (digest) => rmSync(wholePath(digest), { force: true }),
    removeArriving: (digest) => rmSync(folderOf(digest), { recursive: true, force: true }),
  }
}

/** An open file's bytes. */
export function fileSource(file: FileHandle, byteLength: number): ByteSource {
  return {
    byteLength,
    async read(offset, length, { signal } = {}) {
      signal?.throwIfAborted()
      if (offset < 0 || length < 0 || offset + length > byteLength) {
        throw new RangeError(`bytes ${offset} to ${offset + length} of ${byteLength}`)
      }
      const bytes = new Uint8Array(length)
      for (let filled = 0; filled < length; ) {
        const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled)
        if (bytesRead === 0) throw new RangeError(`the file ends before byte ${offset + length}`)
        filled += bytesRead
      }
      return bytes
    },
  }
}

/** `file.write` may write less than it is given. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written)
    written += bytesWritten
  }
}

function digestIn(name: string, ending: string): Digest[] {
  if (!name.endsWith(ending)) return []
  const parsed = digestSchema.safeParse(name.slice(0, name.length - ending.length))
  return parsed.success ? [parsed.data] : []
}

/** Makes a rename in the folder survive a power loss; Windows has no such call and needs none. */
function syncDirectory(path: string): void {
  if (process.platform === 'win32') return
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}
