/**
 * One file from the hub onto the disk. What has arrived lies beside its place as `<name>.<digest>.partial`: the name says
 * which bytes they are to become, so that a later try goes on with them and one for other bytes does not. Only bytes with
 * the right digest get the file's own name.
 */
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DownloadError } from '#core/errors.ts'
import type { HubFile, HubModel } from '#core/ports/model-hub.ts'
import { namingStorage, systemCode } from '#core/storage-errors.ts'
import type { Connection } from './connection.ts'
import { createRunningDigest, digestNames, type RunningDigest } from './digests.ts'
import { readRange } from './read-range.ts'

const chunkBytes = 1 << 20
/** Not to append: two processes that fetch the same file write the same bytes to the same places. */
const toResume = constants.O_RDWR | constants.O_CREAT

export interface FilePlace {
  readonly file: HubFile
  readonly path: string
  readonly partialPath: string
  /** Bytes that are there already, at either path. */
  readonly presentBytes: number
}

export async function placeFile(directory: string, file: HubFile): Promise<FilePlace> {
  const path = join(directory, ...file.path.split('/'))
  const partialPath = `${path}.${file.digest.hex}.partial`
  const [whole, partial] = await Promise.all([sizeOf(path), sizeOf(partialPath)])
  const begun = partial <= file.sizeBytes ? Math.max(0, partial) : 0
  return { file, path, partialPath, presentBytes: whole === file.sizeBytes ? whole : begun }
}

export interface DownloadFileOptions {
  readonly signal: AbortSignal | undefined
  /** How much of the file there is by now; less than before when what was there is of no use. */
  readonly onBytes: (bytesDone: number) => void
}

/** Throws `DownloadError`, which leaves the partial file unless its bytes are wrong, or `StorageError`. */
export async function downloadFile(
  connection: Connection,
  model: HubModel,
  place: FilePlace,
  { signal, onBytes }: DownloadFileOptions,
): Promise<void> {
  const { file, path, partialPath } = place
  if (await isWhole(place, signal)) return onBytes(file.sizeBytes)
  await namingStorage(path, () => prepareFolder(place))
  const handle = await namingStorage(partialPath, () => open(partialPath, toResume, 0o600))
  try {
    await fill(connection, model, place, handle, { signal, onBytes })
    await namingStorage(partialPath, () => handle.sync())
  } finally {
    await handle.close()
  }
  await namingStorage(path, () => putInPlace(place))
}

async function fill(
  connection: Connection,
  model: HubModel,
  { file, partialPath }: FilePlace,
  handle: FileHandle,
  { signal, onBytes }: DownloadFileOptions,
): Promise<void> {
  const digest = createRunningDigest(file)
  let done = await namingStorage(partialPath, () => resume(handle, file, digest, signal))
  onBytes(done)
  const take = async (chunk: Uint8Array) => {
    await namingStorage(partialPath, () => writeAt(handle, chunk, done))
    digest.update(chunk)
    done += chunk.length
    onBytes(done)
  }
  await readRange(connection, model, file, { begin: done, end: file.sizeBytes }, take, { signal })
  if (digest.matches()) return
  await rm(partialPath, { force: true })
  const name = digestNames[file.digest.kind]
  throw new DownloadError(file.path, `the bytes that came have another ${name} than the hub states; they were deleted`)
}

/** Takes up what is there: returns how much, and hashes it. */
async function resume(
  handle: FileHandle,
  file: HubFile,
  digest: RunningDigest,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { size } = await handle.stat()
  if (size > file.sizeBytes) {
    await handle.truncate(0)
    return 0
  }
  await hashFile(handle, size, digest, signal)
  return size
}

/** Whether the file is in its place already, by its bytes. */
async function isWhole({ file, path }: FilePlace, signal: AbortSignal | undefined): Promise<boolean> {
  if ((await sizeOf(path)) !== file.sizeBytes) return false
  const handle = await namingStorage(path, () => open(path, 'r'))
  try {
    const digest = createRunningDigest(file)
    await namingStorage(path, () => hashFile(handle, file.sizeBytes, digest, signal))
    return digest.matches()
  } finally {
    await handle.close()
  }
}

async function hashFile(
  handle: FileHandle,
  length: number,
  digest: RunningDigest,
  signal: AbortSignal | undefined,
): Promise<void> {
  const buffer = new Uint8Array(Math.min(chunkBytes, length))
  for (let position = 0; position < length; ) {
    signal?.throwIfAborted()
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - position), position)
    if (bytesRead === 0) return
    digest.update(buffer.subarray(0, bytesRead))
    position += bytesRead
  }
}

async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}

/** Makes the folder, and removes what was to become this file at an earlier revision. */
async function prepareFolder({ path, partialPath }: FilePlace): Promise<void> {
  const folder = dirname(path)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const begun = (await readdir(folder)).filter((name) => isPartialOf(name, basename(path)))
  await Promise.all(begun.filter((name) => name !== basename(partialPath)).map((name) => rm(join(folder, name))))
}

function isPartialOf(name: string, fileName: string): boolean {
  return (
    name.startsWith(`${fileName}.`) && /^(?:[0-9a-f]{40}|[0-9a-f]{64})\.partial$/.test(name.slice(fileName.length + 1))
  )
}

/** Another process that fetched the same file may have been first. */
async function putInPlace({ file, path, partialPath }: FilePlace): Promise<void> {
  try {
    await rename(partialPath, path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || (await sizeOf(path)) !== file.sizeBytes) throw error
  }
}

/** -1 when there is no such file. */
async function sizeOf(path: string): Promise<number> {
  const found = await lstat(path).catch(() => null)
  return found?.isFile() ? found.size : -1
}
