/** What every weight cache does, whether it keeps its files or not. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { InvalidInputError } from '#contracts/errors.ts'
import type { PreparedFile, WeightCache } from '#core/ports/weight-cache.ts'

type Append = (bytes: Uint8Array) => Promise<void>

const key = { modelDigest: 'ab'.repeat(32), part: 'block-7', layout: 'int8-128-v1' }
const bytesOf = (text: string) => new TextEncoder().encode(text)
const writing = (text: string) => (append: Append) => append(bytesOf(text))
const aborted = expect.objectContaining({ name: 'AbortError' })

/** The bytes of a prepared file, without what may follow them. */
async function read({ path, byteLength }: PreparedFile): Promise<string> {
  return (await readFile(path)).subarray(0, byteLength).toString()
}

/** `open` gives an empty cache; a second call gives another. */
export function describeWeightCache(name: string, open: () => WeightCache): void {
  describe(`${name}, as a weight cache`, () => {
    it('makes a file of what is appended, in order', async () => {
      const file = await open().prepare(key, async (append) => {
        await append(bytesOf('one '))
        await append(bytesOf(''))
        await append(bytesOf('two'))
      })
      expect(file.byteLength).toBe(7)
      expect(await read(file)).toBe('one two')
      await file.release()
    })

    it('makes one file for callers of one key, there until the last of them releases it', async () => {
      const cache = open()
      let writes = 0
      const write = async (append: Append) => {
        writes++
        await append(bytesOf('shared'))
      }
      const files = await Promise.all([1, 2, 3].map(() => cache.prepare(key, write)))
      expect(writes).toBe(1)
      await Promise.all(files.slice(1).flatMap((file) => [file.release(), file.release()]))
      for (const file of files) expect(await read(file)).toBe('shared')
      await files[0]?.release()
      for (const file of files) expect(existsSync(file.path)).toBe(false)
    })

    it('makes another file for another part, layout or model', async () => {
      const cache = open()
      const keys = [
        key,
        { ...key, part: 'head' },
        { ...key, layout: 'int4-v1' },
        { ...key, modelDigest: 'cd'.repeat(32) },
      ]
      const files = await Promise.all(keys.map((one, index) => cache.prepare(one, writing(String(index)))))
      expect(await Promise.all(files.map(read))).toEqual(['0', '1', '2', '3'])
      for (const file of files) await file.release()
    })

    it('passes on what the writer throws, and lets the next caller write', async () => {
      const cache = open()
      const failing = cache.prepare(key, async (append) => {
        await append(bytesOf('half'))
        throw new Error('the tensor is damaged')
      })
      await expect(failing).rejects.toThrow('the tensor is damaged')
      const file = await cache.prepare(key, writing('whole'))
      expect(await read(file)).toBe('whole')
      await file.release()
    })

    it('lets a caller who waited write when the one at it is stopped', async () => {
      const cache = open()
      const stopping = new AbortController()
      const { signal } = stopping
      const late = (append: Append) =>
        new Promise<void>((resolve, reject) => {
          signal.addEventListener('abort', () => append(bytesOf('late')).then(resolve, reject))
        })
      const first = cache.prepare(key, late, { signal })
      const second = cache.prepare(key, writing('from the second'))
      stopping.abort()
      await expect(first).rejects.toThrow(aborted)
      const file = await second
      expect(await read(file)).toBe('from the second')
      await file.release()
    })

    it('lets a caller who waits stop, and the work go on', async () => {
      const cache = open()
      const finish = Promise.withResolvers<void>()
      const first = cache.prepare(key, async (append) => {
        await finish.promise
        await append(bytesOf('done'))
      })
      const stopping = new AbortController()
      const second = cache.prepare(key, writing('never'), { signal: stopping.signal })
      stopping.abort()
      await expect(second).rejects.toThrow(aborted)
      finish.resolve()
      expect(await read(await first)).toBe('done')
      await (await first).release()
    })

    it('writes nothing for a caller who has stopped already', async () => {
      const write = () => Promise.reject(new Error('written'))
      await expect(open().prepare(key, write, { signal: AbortSignal.abort() })).rejects.toThrow(aborted)
    })

    it.each(['', '../x', 'a/b', 'Block-7', 'block.7', 'x'.repeat(49)])('refuses the part %j', async (part) => {
      await expect(open().prepare({ ...key, part }, writing('x'))).rejects.toThrow(InvalidInputError)
    })
  })
}
