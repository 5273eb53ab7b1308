import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  chunkBytes,
  openFile,
  readChunks,
  readRange,
  toStorageError,
  withFile,
  writeAll,
} from '#adapters/models/files.ts'
import { CodedError } from '#contracts/errors.ts'
import { ModelFormatError } from '#core/errors.ts'
import { useTemporaryFolders } from './tiny-models.ts'

const newFolder = useTemporaryFolders()

describe('reading a file', () => {
  it('in chunks gives the bytes of the range, however large', async () => {
    const bytes = Uint8Array.from({ length: 2 * chunkBytes + 5 }, (_, i) => i % 251)
    const path = join(await newFolder(), 'large')
    await writeFile(path, bytes)
    await withFile(path, 'large', async (file) => {
      const parts: Buffer[] = []
      for await (const chunk of readChunks(file, 3, bytes.length)) parts.push(Buffer.from(chunk))
      expect(parts.length).toBe(3)
      expect(Buffer.concat(parts).equals(bytes.subarray(3))).toBe(true)
      expect(Buffer.from(await readRange(file, 3, bytes.length)).equals(bytes.subarray(3))).toBe(true)
    })
  })

  it('past its end is refused before anything is allocated', async () => {
    const path = join(await newFolder(), 'small')
    await writeFile(path, 'abc')
    await withFile(path, 'small', async (file) => {
      await expect(readRange(file, 0, 2 ** 50)).rejects.toThrow(ModelFormatError)
    })
  })

  it.runIf(process.platform === 'linux')('does not wait for a pipe', async () => {
    const path = join(await newFolder(), 'pipe')
    execFileSync('mkfifo', [path])
    await expect(openFile(path, 'pipe')).rejects.toThrow(/not a regular file/)
  })
})

describe('a failure of the disk', () => {
  it.runIf(existsSync('/dev/full'))('that is full is called so', async () => {
    const handle = await open('/dev/full', 'w')
    const failure = await writeAll(handle, new Uint8Array(8)).catch(toStorageError)
    await handle.close()
    expect(failure).toMatchObject({ code: 'storage-failed', params: { what: 'no space left on the disk' } })
  })

  it('of another kind keeps the system’s word for it, and its cause', () => {
    const cause = Object.assign(new Error('i/o error'), { code: 'EIO' })
    expect(toStorageError(cause)).toMatchObject({ code: 'storage-failed', params: { systemCode: 'EIO' }, cause })
  })

  it('is not made of anything else', () => {
    for (const error of [new CodedError('internal', 'x'), new RangeError('x'), 'x'])
      expect(toStorageError(error)).toBe(error)
  })
})
