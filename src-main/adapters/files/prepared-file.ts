/**
 * The form of a prepared file: the bytes as they were given, from offset 0 so that they can be mapped into memory, then a
 * trailer that tells a whole file from a part of one:
 *
 *     magic (8) · length of the bytes, u64 · their CRC-32, u32 · CRC-32 of the trailer so far, u32     all little-endian
 *
 * The checksum finds what disks and interrupted copies do, not what an attacker would: who can write here can run anything.
 */
import { type FileHandle, lstat, open, rm } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { CodedError } from '#contracts/errors.ts'
import { namingStorage } from '#core/storage-errors.ts'

const magic = Buffer.from('QBWEIGH1', 'latin1')
export const trailerBytes = 24
/** Long enough to read fast, short enough to cancel between and not to hold up the thread. */
const chunkBytes = 1 << 20

export type WriteBytes = (append: (bytes: Uint8Array) => Promise<void>) => Promise<void>

/**
 * Makes the file at a new `path` from what `write` appends, and makes it durable. Returns how many bytes were given. When
 * anything fails, nothing stays at `path`. Throws `StorageError` when the disk does.
 */
export async function writePrepared(path: string, write: WriteBytes, signal?: AbortSignal): Promise<number> {
  signal?.throwIfAborted()
  const handle = await namingStorage(path, () => open(path, 'wx', 0o600))
  try {
    const byteLength = await writeThrough(handle, path, write, signal)
    await handle.close()
    return byteLength
  } catch (error) {
    await handle.close().catch(() => undefined)
    await rm(path, { force: true })
    throw error
  }
}

async function writeThrough(
  handle: FileHandle,
  path: string,
  write: WriteBytes,
  signal: AbortSignal | undefined,
): Promise<number> {
  let length = 0
  let checksum = 0
  let isOpen = true
  await write(async (bytes) => {
    signal?.throwIfAborted()
    if (!isOpen) throw new CodedError('internal', 'bytes appended after the file was finished')
    const position = length
    length += bytes.byteLength
    checksum = crc32(bytes, checksum)
    await namingStorage(path, () => writeAt(handle, bytes, position))
  })
  isOpen = false
  signal?.throwIfAborted()
  await namingStorage(path, async () => {
    await writeAt(handle, encodeTrailer(length, checksum), length)
    await handle.sync()
  })
  return length
}

/** How many bytes the file holds when it is whole; null when it is missing, cut short, changed, or cannot be read. */
export async function checkPrepared(path: string, signal?: AbortSignal): Promise<number | null> {
  signal?.throwIfAborted()
  // A pipe in the file's place would block whoever opens it.
  const found = await lstat(path).catch(() => null)
  if (!found?.isFile() || found.size < trailerBytes) return null
  const handle = await open(path, 'r').catch(() => null)
  if (handle === null) return null
  try {
    return await readThrough(handle, found.size - trailerBytes, signal)
  } catch {
    signal?.throwIfAborted()
    return null
  } finally {
    await handle.close()
  }
}

async function readThrough(
  handle: FileHandle,
  byteLength: number,
  signal: AbortSignal | undefined,
): Promise<number | null> {
  const trailer = Buffer.alloc(trailerBytes)
  await readExactly(handle, trailer, byteLength)
  const buffer = Buffer.alloc(Math.min(chunkBytes, byteLength))
  let checksum = 0
  for (let position = 0; position < byteLength; position += chunkBytes) {
    signal?.throwIfAborted()
    const chunk = buffer.subarray(0, Math.min(chunkBytes, byteLength - position))
    await readExactly(handle, chunk, position)
    checksum = crc32(chunk, checksum)
  }
  return trailer.equals(encodeTrailer(byteLength, checksum)) ? byteLength : null
}

function encodeTrailer(byteLength: number, checksum: number): Buffer {
  const trailer = Buffer.alloc(trailerBytes)
  magic.copy(trailer)
  trailer.writeBigUInt64LE(BigInt(byteLength), 8)
  trailer.writeUInt32LE(checksum, 16)
  trailer.writeUInt32LE(crc32(trailer.subarray(0, 20)), 20)
  return trailer
}

/** Writes all of `bytes`, however little the system takes at a time. */
async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, position + done)
    done += bytesWritten
  }
}

async function readExactly(handle: FileHandle, into: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < into.byteLength; ) {
    const { bytesRead } = await handle.read(into, done, into.byteLength - done, position + done)
    if (bytesRead === 0) throw new Error('the file ends early')
    done += bytesRead
  }
}
