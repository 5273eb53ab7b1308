/**
 * Files made for other programs. Each is prepared beside its place and put there by one rename when it is whole and on the
 * disk: a crash leaves nothing, or a folder whose name says that it is no export. What stands at a path is never replaced.
 */
import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { InvalidInputError } from '#contracts/errors.ts'
import type { WriteOptions, WrittenFiles } from '#core/ports/patch-interop.ts'
import { statOrNull, syncDirectory, toStorageError, writeAll } from './files.ts'

export interface ExportFolder {
  write(name: string, write: (handle: FileHandle) => Promise<void>): Promise<void>
  writeText(name: string, text: string): Promise<void>
}

/** A folder at `path`. Throws `InvalidInputError` when something is there, `storage-failed` for what the disk says. */
export async function exportFolder(
  { path, signal }: WriteOptions,
  fill: (folder: ExportFolder) => Promise<void>,
): Promise<WrittenFiles> {
  return await publish(path, signal, async (staged) => {
    await mkdir(staged, { mode: 0o755 })
    let bytes = 0
    const write: ExportFolder['write'] = async (name, fillFile) => {
      signal?.throwIfAborted()
      bytes += await writeFile(join(staged, name), fillFile)
    }
    const writeText = (name: string, text: string) =>
      write(name, (handle) => writeAll(handle, new TextEncoder().encode(text)))
    await fill({ write, writeText })
    await syncDirectory(staged)
    return bytes
  })
}

/** One file at `path`; otherwise as `exportFolder`. */
export async function exportFile(
  { path, signal }: WriteOptions,
  fill: (handle: FileHandle) => Promise<void>,
): Promise<WrittenFiles> {
  return await publish(path, signal, (staged) => writeFile(staged, fill))
}

async function publish(
  wanted: string,
  signal: AbortSignal | undefined,
  prepare: (staged: string) => Promise<number>,
): Promise<WrittenFiles> {
  if (wanted === '' || wanted.includes('\0')) throw new InvalidInputError('path', 'not a path')
  const path = resolve(wanted)
  await expectFree(path)
  const staged = `${path}.${randomBytes(6).toString('hex')}.partial`
  try {
    const bytes = await prepare(staged)
    signal?.throwIfAborted()
    await expectFree(path)
    await rename(staged, path)
    await syncDirectory(dirname(path))
    return { path, bytes }
  } catch (error) {
    throw toStorageError(error)
  } finally {
    await rm(staged, { recursive: true, force: true })
  }
}

async function expectFree(path: string): Promise<void> {
  if ((await statOrNull(path)) !== null) throw new InvalidInputError('path', 'something is there already')
  const folder = await statOrNull(dirname(path))
  if (folder?.isDirectory() !== true) throw new InvalidInputError('path', 'its folder does not exist')
}

async function writeFile(path: string, fill: (handle: FileHandle) => Promise<void>): Promise<number> {
  const handle = await open(path, 'wx', 0o644)
  try {
    await fill(handle)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return (await stat(path)).size
}
