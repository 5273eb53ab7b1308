/**
 * A patch that is arriving: one file, the head and then sections in their order, as far as they are here. Each section's
 * digest is checked when it is whole; opened again, all that is there is checked again, for what a killed process wrote last
 * may not have reached the disk.
 */
import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import type { PatchHead } from '#contracts/patch-file/patch-head.ts'
import { sectionPlaces } from '#contracts/patch-file/read-patch.ts'
import { createSerialQueue } from '#core/serial-queue.ts'
import { namingStorage } from '#core/storage-errors.ts'
import { writeAll } from './patch-files.ts'

export interface IncomingFile {
  readonly receivedBytes: number
  next(): { readonly section: number; readonly offset: number } | null
  append(bytes: Uint8Array): Promise<{ readonly whole: boolean }>
  discardSection(): Promise<void>
  /** Everything is on the disk. Idempotent. */
  close(): Promise<void>
}

const readBytes = 1 << 20

export async function openIncomingFile(path: string, head: PatchHead, headBytes: Uint8Array): Promise<IncomingFile> {
  const { sections } = head.header
  const places = sectionPlaces(head)
  const file = await namingStorage(path, () => openOrCreate(path))
  const queue = createSerialQueue()
  const inFile = <T>(work: () => Promise<T>): Promise<T> => queue.add(() => namingStorage(path, work))
  let section = 0
  let offset = 0
  let hash: Hash = createHash('sha256')
  let closed = false

  const positionNow = () => (section === sections.length ? head.sizeBytes : (places[section] ?? 0) + offset)

  function begin(next: number): void {
    section = next
    offset = 0
    hash = createHash('sha256')
  }

  async function discard(): Promise<void> {
    begin(section)
    await file.truncate(positionNow())
  }

  /** Counts bytes that are in the file now. -> whether their section is whole; null when it is, and wrong. */
  function count(bytes: Uint8Array): boolean | null {
    const expected = sections[section]
    if (expected === undefined) throw new RangeError('all sections are here')
    hash.update(bytes)
    offset += bytes.length
    if (offset < expected.bytes) return false
    if (hash.digest('hex') !== expected.sha256) return null
    begin(section + 1)
    return true
  }

  async function append(bytes: Uint8Array): Promise<{ whole: boolean }> {
    const expected = sections[section]
    if (expected === undefined || offset + bytes.length > expected.bytes) {
      throw new RangeError(`${bytes.length} bytes do not fit into section ${section} at ${offset}`)
    }
    await writeAll(file, bytes, positionNow())
    const at = section
    const whole = count(bytes)
    if (whole !== null) return { whole }
    await discard()
    throw new PatchFormatError(`section ${at}`, 'the bytes are not those that the header names')
  }

  /** What an earlier process left: kept as far as it is right. */
  async function takeUp(): Promise<void> {
    const { size } = await file.stat()
    const kept = await readAt(file, 0, Math.min(size, headBytes.length))
    if (!Buffer.from(headBytes).equals(kept)) {
      await file.truncate(0)
      await writeAll(file, headBytes, 0)
      return
    }
    while (section < sections.length && positionNow() < size) {
      const sectionLeft = (sections[section]?.bytes ?? 0) - offset
      const bytes = await readAt(file, positionNow(), Math.min(readBytes, sectionLeft, size - positionNow()))
      if (bytes.length === 0) break
      if (count(bytes) !== null) continue
      begin(section)
      break
    }
    await file.truncate(positionNow())
  }

  try {
    await inFile(takeUp)
  } catch (error) {
    await file.close()
    throw error
  }
  return {
    get receivedBytes() {
      return positionNow()
    },
    next: () => (section === sections.length ? null : { section, offset }),
    append: (bytes) => inFile(() => append(bytes)),
    discardSection: () => inFile(discard),
    close: () =>
      inFile(async () => {
        if (closed) return
        closed = true
        await file.sync().finally(() => file.close())
      }),
  }
}

async function openOrCreate(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx+', 0o600)
  } catch {
    return await open(path, 'r+')
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  const { bytesRead } = await file.read(bytes, 0, length, position)
  return bytes.subarray(0, bytesRead)
}
