import { mkdtemp, readdir, readFile, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createWeightCache } from '#adapters/files/weight-cache.ts'

/** As FAT and some network disks answer. */
vi.mock('node:fs/promises', async (importOriginal) => ({
  ...(await importOriginal<typeof import('node:fs/promises')>()),
  link: () => Promise.reject(Object.assign(new Error('no links here'), { code: 'EPERM', syscall: 'link' })),
}))

const key = (part: string) => ({ modelDigest: 'ab'.repeat(32), part, layout: 'int8-v1' })
const writing = (text: string) => (append: (bytes: Uint8Array) => Promise<void>) =>
  append(new TextEncoder().encode(text))
const neverWriting = () => Promise.reject(new Error('written again'))

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weight-cache-test-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

describe('on a disk without hard links', () => {
  it('weights are kept and found again, and nothing else is left', async () => {
    const made = await createWeightCache({ directory }).prepare(key('head'), writing('kept'))
    await made.release()
    const found = await createWeightCache({ directory }).prepare(key('head'), neverWriting)
    expect((await readFile(found.path)).subarray(0, 4).toString()).toBe('kept')
    await found.release()
    expect(await readdir(directory)).toHaveLength(1)
  })

  it('a damaged file is made again', async () => {
    const made = await createWeightCache({ directory }).prepare(key('head'), writing('kept'))
    await made.release()
    await truncate(made.path, 5)
    const again = await createWeightCache({ directory }).prepare(key('head'), writing('anew'))
    expect((await readFile(again.path)).subarray(0, 4).toString()).toBe('anew')
  })

  it('what this process uses is not removed to make room', async () => {
    const cache = createWeightCache({ directory, limitBytes: 100 })
    const used = await cache.prepare(key('block-0'), writing('x'.repeat(50)))
    const other = await cache.prepare(key('block-1'), writing('y'.repeat(50)))
    expect((await readFile(used.path)).subarray(0, 50).toString()).toBe('x'.repeat(50))
    await other.release()
    expect(await cache.usage()).toEqual({ files: 1, bytes: 74 })
    await used.release()
  })
})
