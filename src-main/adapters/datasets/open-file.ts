/** Finds what a `DataFile` names, and looks at its beginning. Regular files only: a pipe or a device could block for ever. */
import { constants, type Stats } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { basename, isAbsolute } from 'node:path'
import { InvalidInputError } from '#contracts/errors.ts'
import { DataFormatError, StorageError } from '#core/errors.ts'
import { systemCode } from '#core/storage-errors.ts'
import { headBytes } from './limits.ts'
import { type DataFormat, sniffEncoding, sniffFormat, type TextEncoding } from './sniff.ts'

export interface FoundFile {
  readonly path: string
  /** For people: without its folder. */
  readonly name: string
  readonly bytes: number
}

export interface SniffedFile extends FoundFile {
  readonly format: DataFormat
  readonly encoding: TextEncoding
  /** The first characters. */
  readonly headText: string
}

/** `path` may be a link to a file. Throws `InvalidInputError`, `StorageError` or `DataFormatError`. */
export async function findFile(path: string, name = basename(path)): Promise<FoundFile> {
  if (!isAbsolute(path) || path.includes('\0')) throw new InvalidInputError('path', 'not an absolute path')
  const found = await reading(path, () => stat(path))
  expectFile(name, found)
  return { path, name, bytes: found.size }
}

/** Throws `DataFormatError` for a file that is empty or no text. */
export async function sniffFile(file: FoundFile): Promise<SniffedFile> {
  if (file.bytes === 0) throw new DataFormatError(file.name, 'is empty')
  return withFile(file, async (handle) => {
    const head = new Uint8Array(headBytes)
    const { bytesRead } = await handle.read(head, 0, head.length, 0)
    const encoding = sniffEncoding(file.name, head.subarray(0, bytesRead))
    const headText = new TextDecoder(encoding).decode(head.subarray(0, bytesRead))
    return { ...file, encoding, headText, format: sniffFormat(file.name, headText) }
  })
}

export async function withFile<T>(file: FoundFile, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  const handle = await openFile(file)
  try {
    return await use(handle)
  } finally {
    await handle.close()
  }
}

/** What was a file a moment ago may be something else by now: it is looked at again, opened without waiting for a writer. */
export async function openFile({ path, name }: FoundFile): Promise<FileHandle> {
  const handle = await reading(path, () => open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)))
  try {
    expectFile(name, await handle.stat())
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

function expectFile(name: string, found: Stats): void {
  if (found.isFile()) return
  const what = found.isDirectory() ? 'is a folder: choose the files in it' : 'is not a file (a pipe, socket or device)'
  throw new DataFormatError(name, what)
}

async function reading<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const code = systemCode(error)
    throw code === null ? error : new StorageError(path, sentenceOf(code), { cause: error })
  }
}

function sentenceOf(code: string): string {
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'there is no such file'
  if (code === 'EACCES' || code === 'EPERM') return 'reading is not permitted'
  if (code === 'ELOOP') return 'the links lead in a circle'
  return `the disk said ${code}`
}
