/**
 * Files handed over by the UI in pieces, each in a private folder of its own, `<directory>/<id>/<name>`. A piece is appended
 * where the last one ended, or not at all. What nobody has touched for a day is removed when another upload begins.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { maximumChunkBytes, maximumUploadBytes } from '#contracts/api/training.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { QuotaExceededError } from '#core/errors.ts'
import { createSerialQueue } from '#core/serial-queue.ts'
import { namingStorage, systemCode } from '#core/storage-errors.ts'
import { safeFileName } from './file-name.ts'
import { type FoundFile, findFile } from './open-file.ts'

const staleMs = 24 * 60 * 60 * 1000
/** Of all uploads that are kept. */
export const maximumUploadsBytes = 4 * maximumUploadBytes
const maximumUploads = 256

export interface UploadPiece {
  readonly id: string | null
  readonly name: string
  readonly offset: number
  readonly bytes: Uint8Array
}

export interface Uploads {
  /** Throws `InvalidInputError` for an unknown id or an offset that is not where the file ends, `QuotaExceededError`, `StorageError`. */
  add(piece: UploadPiece): Promise<{ readonly id: string; readonly name: string; readonly byteLength: number }>
  /** Throws `InvalidInputError` for an unknown id. */
  find(id: string): Promise<FoundFile>
}

export function createUploads({
  directory,
  nowMs = Date.now,
}: {
  readonly directory: string
  readonly nowMs?: () => number
}): Uploads {
  const oneAtATime = createSerialQueue()

  async function begin(name: string): Promise<FoundFile & { readonly id: string }> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await removeStale(directory, nowMs() - staleMs)
    const kept = await listUploads(directory)
    if (kept.length >= maximumUploads) {
      throw new QuotaExceededError('uploaded files', maximumUploadsBytes, maximumUploadsBytes)
    }
    const id = randomUUID()
    const safe = safeFileName(name)
    await mkdir(join(directory, id), { mode: 0o700 })
    const file = await open(join(directory, id, safe), 'wx', 0o600)
    await file.close()
    return { id, name: safe, path: join(directory, id, safe), bytes: 0 }
  }

  async function find(id: string): Promise<FoundFile> {
    const folder = join(directory, checkedId(id))
    const [name] = await readdir(folder).catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') throw unknownUpload()
      throw error
    })
    if (name === undefined) throw unknownUpload()
    return findFile(join(folder, name), name)
  }

  async function add({ id, name, offset, bytes }: UploadPiece) {
    if (bytes.length > maximumChunkBytes) throw new InvalidInputError('bytes', `at most ${maximumChunkBytes} at a time`)
    if (id === null && offset !== 0) throw new InvalidInputError('offset', '0 expected: the upload begins here')
    const file = id === null ? await begin(name) : { id, ...(await find(id)) }
    if (offset !== file.bytes) throw new InvalidInputError('offset', `${file.bytes} expected, as many bytes are here`)
    const length = offset + bytes.length
    if (length > maximumUploadBytes) throw new QuotaExceededError(file.name, length, maximumUploadBytes)
    const others = (await listUploads(directory)).reduce((sum, upload) => sum + upload.bytes, 0)
    if (others + bytes.length > maximumUploadsBytes) {
      throw new QuotaExceededError('uploaded files', others + bytes.length, maximumUploadsBytes)
    }
    await append(file.path, offset, bytes)
    return { id: file.id, name: file.name, byteLength: length }
  }

  return {
    add: (piece) => oneAtATime.add(() => namingStorage(directory, () => add(piece))),
    find: (id) => namingStorage(directory, () => find(id)),
  }
}

/** A piece that could not be written whole is taken back. */
async function append(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+')
  try {
    for (let done = 0; done < bytes.length; ) {
      done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten
    }
  } catch (error) {
    await file.truncate(offset)
    throw error
  } finally {
    await file.close()
  }
}

interface KeptUpload {
  readonly folder: string
  readonly bytes: number
  readonly touchedMs: number
}

async function listUploads(directory: string): Promise<readonly KeptUpload[]> {
  const ids = (await readdir(directory)).filter((name) => z.uuid().safeParse(name).success)
  return Promise.all(ids.map((id) => describeUpload(join(directory, id))))
}

async function describeUpload(folder: string): Promise<KeptUpload> {
  const paths = [folder, ...(await readdir(folder)).map((name) => join(folder, name))]
  const found = await Promise.all(paths.map((path) => stat(path)))
  const bytes = found.filter((one) => one.isFile()).reduce((sum, { size }) => sum + size, 0)
  return { folder, bytes, touchedMs: Math.max(...found.map(({ mtimeMs }) => mtimeMs)) }
}

/** A folder that cannot be removed now is tried again next time. */
async function removeStale(directory: string, beforeMs: number): Promise<void> {
  for (const { folder, touchedMs } of await listUploads(directory)) {
    if (touchedMs < beforeMs) await rm(folder, { recursive: true, force: true }).catch(() => undefined)
  }
}

/** An id becomes part of a path: it must be one. */
function checkedId(id: string): string {
  const parsed = z.uuid().safeParse(id)
  if (!parsed.success) throw new InvalidInputError('id', 'not an upload’s id')
  return parsed.data.toLowerCase()
}

function unknownUpload(): InvalidInputError {
  return new InvalidInputError('id', 'there is no such upload: it may have been removed after a day')
}
