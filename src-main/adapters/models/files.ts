/** Reading and writing files of any size in small, cancellable, exact steps. */
import type { BigIntStats } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { CodedError, InvalidInputError } from '#contracts/errors.ts'
import { ModelFormatError } from '#core/errors.ts'

/** The most that one read or write moves: long enough to be fast, short enough to cancel and report between. */
export const chunkBytes = 1 << 20

export interface OpenFile {
  readonly handle: FileHandle
  readonly sizeBytes: number
  /** The file's own name, for messages; never its folder. */
  readonly label: string
}

/** Opens a regular file to read; anything else (a pipe would block for ever) is refused. */
export async function openFile(path: string, label: string): Promise<OpenFile> {
  await expectRegularFile(path, label)
  const handle = await open(path, 'r').catch((cause: unknown) => throwUnreadable(label, cause))
  const { size } = await handle.stat()
  return { handle, sizeBytes: size, label }
}

export async function withFile<T>(path: string, label: string, use: (file: OpenFile) => Promise<T>): Promise<T> {
  const file = await openFile(path, label)
  try {
    return await use(file)
  } finally {
    await file.handle.close()
  }
}

export interface RangeOptions {
  readonly signal?: AbortSignal | undefined
  /** Sees each part as it comes. */
  readonly onChunk?: (chunk: Uint8Array) => void
}

/** The bytes `[begin, end)`. Throws `ModelFormatError` when the file is shorter by now. */
export async function readRange(
  file: OpenFile,
  begin: number,
  end: number,
  { signal, onChunk }: RangeOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  if (end > file.sizeBytes) throw shortFile(file, end)
  const bytes = new Uint8Array(end - begin)
  for (let done = 0; done < bytes.length; ) {
    signal?.throwIfAborted()
    const read = await readSome(file, bytes.subarray(done, done + chunkBytes), begin + done)
    onChunk?.(bytes.subarray(done, done + read))
    done += read
  }
  return bytes
}

/** The same bytes in chunks; each chunk is only valid until the next is asked for. */
export async function* readChunks(
  file: OpenFile,
  begin: number,
  end: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(chunkBytes, end - begin))
  for (let position = begin; position < end; ) {
    signal?.throwIfAborted()
    const read = await readSome(file, buffer.subarray(0, Math.min(buffer.length, end - position)), position)
    position += read
    yield buffer.subarray(0, read)
  }
}

/** A whole small file. Throws `ModelFormatError` when it is larger than `maximumBytes`, before reading it. */
export async function readSmallFile(path: string, label: string, maximumBytes: number): Promise<Uint8Array> {
  return withFile(path, label, (file) => {
    if (file.sizeBytes > maximumBytes) {
      throw new ModelFormatError(label, `${file.sizeBytes} bytes, at most ${maximumBytes} are read`)
    }
    return readRange(file, 0, file.sizeBytes)
  })
}

/** Writes all of `bytes`, however little the system takes at a time. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done)
    done += bytesWritten
  }
}

/** Makes names in a directory durable. Windows cannot and need not: its renames are journaled. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Null when nothing is there. */
export async function statOrNull(path: string): Promise<BigIntStats | null> {
  try {
    return await stat(path, { bigint: true })
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT' || systemCode(cause) === 'ENOTDIR') return null
    throw cause
  }
}

/** `ENOSPC`, `EACCES` ...; null for an error that is not the operating system's. */
export function systemCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code)
    ? error.code
    : null
}

/** What the operating system said when writing, as a failure that people can act on; anything else stays as it is. */
export function toStorageError(error: unknown): unknown {
  const why = systemCode(error)
  if (error instanceof CodedError || why === null) return error
  const what = why === 'ENOSPC' || why === 'EDQUOT' ? 'no space left on the disk' : `the disk said ${why}`
  return new CodedError('storage-failed', what, { what, systemCode: why }, { cause: error })
}

async function expectRegularFile(path: string, label: string): Promise<void> {
  const found = await statOrNull(path).catch((cause: unknown) => throwUnreadable(label, cause))
  if (found === null) throw new ModelFormatError(label, 'the file is missing')
  if (!found.isFile()) throw new ModelFormatError(label, 'not a regular file')
}

async function readSome(file: OpenFile, into: Uint8Array, position: number): Promise<number> {
  const { bytesRead } = await file.handle.read(into, 0, into.length, position)
  if (bytesRead === 0) throw shortFile(file, position + into.length)
  return bytesRead
}

function shortFile(file: OpenFile, wanted: number): ModelFormatError {
  return new ModelFormatError(file.label, `the file ends before byte ${wanted}`)
}

function throwUnreadable(label: string, cause: unknown): never {
  throw new InvalidInputError(label, `cannot be read (${systemCode(cause) ?? 'unknown'})`, { cause })
}
