import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync } from 'node:fs'
import { access, mkdir, mkdtemp, open, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { chooseEvicted } from '#adapters/files/kept-weights.ts'
import { parsePreparedFileName, preparedFileName } from '#adapters/files/prepared-key.ts'
import { createTemporaryWeightCache, createWeightCache } from '#adapters/files/weight-cache.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { StorageError } from '#core/errors.ts'
import type { PreparedKey } from '#core/ports/weight-cache.ts'
import { describeWeightCache } from '#test/compliance/weight-cache.ts'

const digest = 'ab'.repeat(32)
const key = (part: string, modelDigest = digest): PreparedKey => ({ modelDigest, part, layout: 'int8-128-v1' })
const bytesOf = (text: string) => new TextEncoder().encode(text)
const writing = (text: string) => (append: (bytes: Uint8Array) => Promise<void>) => append(bytesOf(text))
const neverWriting = () => Promise.reject(new Error('written again'))
const trailerBytes = 24

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weight-cache-test-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

/** The bytes of a prepared file, without what follows them. */
async function readPrepared(file: { path: string; byteLength: number }): Promise<string> {
  return (await readFile(file.path)).subarray(0, file.byteLength).toString()
}

/** Prepares and releases. */
async function keep(cache: ReturnType<typeof createWeightCache>, part: string, text: string): Promise<void> {
  await (await cache.prepare(key(part), writing(text))).release()
}

const keptPath = (part: string) => join(directory, preparedFileName(key(part)))

describeWeightCache('one that keeps', () => createWeightCache({ directory }))
describeWeightCache('one that does not keep', createTemporaryWeightCache)

describe('weights that are kept', () => {
  it('are made once and found again by the next process', async () => {
    const first = await createWeightCache({ directory }).prepare(key('block-7'), async (append) => {
      await append(bytesOf('one '))
      await append(bytesOf('two'))
    })
    expect(await readPrepared(first)).toBe('one two')
    await first.release()
    const second = await createWeightCache({ directory }).prepare(key('block-7'), neverWriting)
    expect(await readPrepared(second)).toBe('one two')
    expect(second.byteLength).toBe(7)
    await second.release()
    expect(await readdir(directory)).toEqual([preparedFileName(key('block-7'))])
  })

  it('may be empty, or come in bytes of any number', async () => {
    const cache = createWeightCache({ directory })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 5 }), async (parts) => {
        await cache.clear()
        for (const write of [
          async (append: (bytes: Uint8Array) => Promise<void>) => {
            for (const part of parts) await append(part)
          },
          neverWriting,
        ]) {
          const file = await cache.prepare(key('block-0'), write)
          expect((await readFile(file.path)).subarray(0, file.byteLength)).toEqual(Buffer.concat(parts))
          await file.release()
        }
      }),
      { numRuns: 30 },
    )
  })

  it('longer than one read are checked whole', async () => {
    const bytes = new Uint8Array(3_000_001).map((_, index) => index % 251)
    await keep(createWeightCache({ directory }), 'head', 'x')
    await createWeightCache({ directory }).clear()
    const cache = createWeightCache({ directory })
    await (await cache.prepare(key('head'), (append) => append(bytes))).release()
    const file = await cache.prepare(key('head'), neverWriting)
    expect((await readFile(file.path)).subarray(0, -trailerBytes).equals(bytes)).toBe(true)
  })

  it.each([
    ['cut short', (path: string) => truncate(path, 10)],
    ['emptied', (path: string) => truncate(path, 0)],
    ['longer', async (path: string) => appendFileSync(path, 'x')],
    ['changed in its bytes', (path: string) => overwrite(path, 3)],
    ['changed in its trailer', (path: string) => overwrite(path, 'the weights'.length + 9)],
    ['a folder', (path: string) => rm(path).then(() => mkdir(path))],
  ])('are made again when the file was %s', async (_, damage) => {
    await keep(createWeightCache({ directory }), 'block-1', 'the weights')
    await damage(keptPath('block-1'))
    const file = await createWeightCache({ directory }).prepare(key('block-1'), writing('made anew'))
    expect(await readPrepared(file)).toBe('made anew')
    await file.release()
    expect(existsSync(file.path)).toBe(false)
  })

  it('made by two processes at the same time are both whole; one of them is kept', async () => {
    const both = [createWeightCache({ directory }), createWeightCache({ directory })]
    const files = await Promise.all(both.map((cache, index) => cache.prepare(key('head'), writing(`from ${index}`))))
    expect(await Promise.all(files.map(readPrepared))).toEqual(['from 0', 'from 1'])
    for (const file of files) await file.release()
    expect(await readdir(directory)).toHaveLength(1)
    const kept = await createWeightCache({ directory }).prepare(key('head'), neverWriting)
    expect(await readPrepared(kept)).toMatch(/^from [01]$/)
  })

  it('stay at the path of whoever uses them when they are cleared or replaced', async () => {
    const user = await createWeightCache({ directory }).prepare(key('block-3'), writing('in use'))
    const other = createWeightCache({ directory })
    expect(await other.clear()).toEqual({ files: 1, bytes: 6 + trailerBytes })
    const newer = await other.prepare(key('block-3'), writing('newer'))
    expect(await readPrepared(user)).toBe('in use')
    expect(await readPrepared(newer)).toBe('newer')
  })

  it('can be counted, and cleared for one model alone', async () => {
    const cache = createWeightCache({ directory })
    expect(await cache.usage()).toEqual({ files: 0, bytes: 0 })
    await keep(cache, 'block-0', '12345')
    await (await cache.prepare(key('block-0', 'cd'.repeat(32)), writing('123'))).release()
    await writeFile(join(directory, 'notes.txt'), 'not ours')
    expect(await cache.usage()).toEqual({ files: 2, bytes: 8 + 2 * trailerBytes })
    expect(await cache.clear(digest)).toEqual({ files: 1, bytes: 5 + trailerBytes })
    expect(await cache.usage()).toEqual({ files: 1, bytes: 3 + trailerBytes })
    await cache.clear()
    expect(await readdir(directory)).toEqual(['notes.txt'])
  })
})

describe('a failure while preparing', () => {
  it('leaves nothing behind, and the next caller makes the file', async () => {
    const cache = createWeightCache({ directory })
    const failing = cache.prepare(key('block-0'), async (append) => {
      await append(bytesOf('half'))
      throw new Error('the tensor is damaged')
    })
    await expect(failing).rejects.toThrow('the tensor is damaged')
    expect(await readdir(directory)).toEqual([])
    await keep(cache, 'block-0', 'whole')
  })

  it('by abort between two appends removes what was written', async () => {
    const stopping = new AbortController()
    const aborted = createWeightCache({ directory }).prepare(
      key('head'),
      async (append) => {
        await append(bytesOf('begun'))
        stopping.abort()
        await append(bytesOf('more'))
      },
      { signal: stopping.signal },
    )
    await expect(aborted).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
    expect(await readdir(directory)).toEqual([])
  })

  it('of the disk is a StorageError that names the file or folder', async () => {
    await writeFile(join(directory, 'file'), '')
    const blocked = createWeightCache({ directory: join(directory, 'file') })
    await expect(blocked.prepare(key('head'), writing('x'))).rejects.toThrow(StorageError)
  })

  it.skipIf(process.platform === 'win32')('of a write that the disk refuses leaves nothing behind', async () => {
    const script = `
      import { createWeightCache } from '#adapters/files/weight-cache.ts'
      const cache = createWeightCache({ directory: ${JSON.stringify(directory)} })
      const write = (append) => append(new Uint8Array(1 << 20))
      await cache.prepare(${JSON.stringify(key('head'))}, write).catch((error) => process.stdout.write(String(error)))`
    // At most 64 blocks of 512 or 1024 bytes a file: what a full disk would say of its own, without filling one.
    const command = `ulimit -f 64 && exec "$0" --input-type=module -e "$1"`
    const printed = await outputOf('sh', ['-c', command, process.execPath, script])
    expect(printed).toContain('StorageError')
    expect(printed).toContain('the disk said EFBIG')
    expect(await readdir(directory)).toEqual([])
  })

  it('by kill -9 in the middle of writing is never seen, and its leftover goes with the next start', async () => {
    const child = spawn(process.execPath, [
      join(import.meta.dirname, 'endless-writer.ts'),
      directory,
      JSON.stringify(key('head')),
    ])
    await once(child.stdout, 'data')
    expect(await readdir(directory)).toHaveLength(1)
    const waiting = createWeightCache({ directory })
    expect(await waiting.usage()).toEqual({ files: 0, bytes: 0 })
    expect(await readdir(directory), 'a living process’s file stays').toHaveLength(1)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const file = await createWeightCache({ directory }).prepare(key('head'), writing('whole'))
    expect(await readPrepared(file)).toBe('whole')
    await file.release()
    expect(await readdir(directory)).toEqual([preparedFileName(key('head'))])
  })
})

describe('a limit on what is kept', () => {
  const part = 100 + trailerBytes

  it('is held by removing what was used longest ago', async () => {
    const cache = createWeightCache({ directory, limitBytes: 2 * part })
    for (const [index, name] of ['block-0', 'block-1'].entries()) {
      await keep(cache, name, 'x'.repeat(100))
      await utimes(keptPath(name), new Date(), new Date(Date.now() - 10_000 + index))
    }
    await (await cache.prepare(key('block-0'), neverWriting)).release()
    await keep(cache, 'block-2', 'x'.repeat(100))
    const kept = [preparedFileName(key('block-0')), preparedFileName(key('block-2'))]
    expect(await readdir(directory)).toEqual(kept)
  })

  it('never removes what is in use, here or in another process: the new file is for its use only', async () => {
    const elsewhere = await createWeightCache({ directory }).prepare(key('block-0'), writing('x'.repeat(100)))
    const cache = createWeightCache({ directory, limitBytes: 2 * part })
    const here = await cache.prepare(key('block-1'), writing('x'.repeat(100)))
    const unkept = await cache.prepare(key('block-2'), writing('for now'))
    expect(await readPrepared(unkept)).toBe('for now')
    await unkept.release()
    await expect(access(unkept.path)).rejects.toThrow('ENOENT')
    expect(await cache.usage()).toEqual({ files: 2, bytes: 2 * part })
    await elsewhere.release()
    await here.release()
  })

  it('does not count the file that is replaced', async () => {
    const cache = createWeightCache({ directory, limitBytes: part })
    await keep(cache, 'head', 'x'.repeat(100))
    await overwrite(keptPath('head'), 0)
    await keep(cache, 'head', 'y'.repeat(100))
    expect(await cache.usage()).toEqual({ files: 1, bytes: part })
  })

  it('chooses the least that is enough', () => {
    const file = (name: string, bytes: number, usedAtMs: number, inUse = false) => ({
      name,
      modelDigest: digest,
      bytes,
      usedAtMs,
      inUse,
    })
    const files = [file('new', 10, 3), file('old', 10, 1), file('older, used', 10, 0, true), file('middle', 10, 2)]
    const names = (limit: number) => {
      const { evicted, fits } = chooseEvicted(files, limit)
      return [...evicted.map(({ name }) => name), fits]
    }
    expect(names(40)).toEqual([true])
    expect(names(30)).toEqual(['old', true])
    expect(names(15)).toEqual(['old', 'middle', 'new', true])
    expect(names(9)).toEqual(['old', 'middle', 'new', false])
  })
})

describe('weights for the time of their use', () => {
  it('lie in the system’s folder for temporary files', async () => {
    const file = await createTemporaryWeightCache().prepare(key('head'), writing('for now'))
    expect(dirname(file.path)).toBe(tmpdir())
    await file.release()
  })

  it('go when the process ends without releasing them', async () => {
    const script = `
      import { createTemporaryWeightCache } from '#adapters/files/weight-cache.ts'
      const file = await createTemporaryWeightCache().prepare(${JSON.stringify(key('head'))}, (append) => append(new Uint8Array(9)))
      process.stdout.write(file.path)`
    const printed = await outputOf(process.execPath, ['--input-type=module', '-e', script])
    expect(printed).toContain('quiltbee-weights')
    expect(existsSync(printed)).toBe(false)
  })
})

describe('a key', () => {
  it('names another file than every other key, also where capitals do not count', () => {
    const word = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$/)
    const keys = fc.record({ modelDigest: fc.stringMatching(/^[0-9a-f]{64}$/), part: word, layout: word })
    fc.assert(
      fc.property(keys, (valid) => {
        const name = preparedFileName(valid)
        expect(name).toBe(name.toLowerCase())
        expect(parsePreparedFileName(name)).toEqual(valid)
      }),
    )
  })

  it('of any text at all is refused by name or stays in the folder', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('../x', '..', '', 'a/b', 'a\0b', 'CON', 'x'))
    fc.assert(
      fc.property(text, text, (part, layout) => {
        try {
          const name = preparedFileName({ modelDigest: digest, part, layout })
          expect(dirname(join('/cache', name))).toBe('/cache')
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidInputError)
        }
      }),
    )
  })
})

async function overwrite(path: string, position: number): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(Buffer.from([0xff]), 0, 1, position)
  await file.close()
}

async function outputOf(command: string, args: string[]): Promise<string> {
  const child = spawn(command, args, { cwd: join(import.meta.dirname, '../../..') })
  let printed = ''
  for await (const chunk of child.stdout) printed += chunk
  return printed
}
