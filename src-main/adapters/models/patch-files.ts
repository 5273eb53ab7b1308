/** Patch files on disk. */
import { basename } from 'node:path'
import { InvalidInputError } from '#contracts/errors.ts'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import { magic } from '#contracts/patch-file/layout.ts'
import { ModelFormatError } from '#core/errors.ts'
import type { OpenedBytes } from '#core/ports/patch-interop.ts'
import { openFile, readRange, statOrNull, systemCode, withFile } from './files.ts'

/** Names of files of other programs; what is not ours and not called so is taken for a broken patch. */
const foreign = /\.(safetensors|bin|pt|pth|ckpt|gguf|onnx)$/

/** See `PatchInterop.kindOf`. */
export async function kindOf(path: string): Promise<'patch' | 'adapter' | null> {
  if (path === '' || path.includes('\0')) return null
  const found = await statOrNull(path).catch((cause: unknown) => {
    throw new InvalidInputError('path', `cannot be read (${systemCode(cause) ?? 'unknown'})`, { cause })
  })
  if (found === null) return null
  if (found.isDirectory()) return 'adapter'
  return foreign.test(path) && !(await beginsAsPatch(path)) ? 'adapter' : 'patch'
}

async function beginsAsPatch(path: string): Promise<boolean> {
  return await withFile(path, basename(path), async (file) => {
    if (file.sizeBytes < magic.length) return false
    const bytes = await readRange(file, 0, magic.length)
    return bytes.every((byte, index) => byte === magic[index])
  })
}

/** See `PatchInterop.openPatchFile`. */
export async function openPatchFile(path: string): Promise<OpenedBytes> {
  const file = await openFile(path, basename(path)).catch((cause: unknown) => {
    if (!(cause instanceof ModelFormatError)) throw cause
    throw new InvalidInputError('path', String(cause.params['what']), { cause })
  })
  return {
    byteLength: file.sizeBytes,
    async read(offset, length, { signal } = {}) {
      if (offset < 0 || length < 0 || offset + length > file.sizeBytes) throw cutShort(offset + length)
      return await readRange(file, offset, offset + length, { signal }).catch((cause: unknown) => {
        if (cause instanceof ModelFormatError) throw cutShort(offset + length, cause)
        throw cause
      })
    },
    close: () => file.handle.close(),
  }
}

function cutShort(end: number, cause?: unknown): PatchFormatError {
  return new PatchFormatError('size', `the file ends before byte ${end}`, { cause })
}
