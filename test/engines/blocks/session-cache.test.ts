import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createPagePool } from '#engines/blocks/page-pool.ts'
import { createSessionCache, readCache, type SessionCache, writeCache } from '#engines/blocks/session-cache.ts'
import { pagePartBytes, pageSlots } from '#engines/kernels/kernels.ts'
import { createWorkspace, WorkspaceFullError } from '#engines/kernels/workspace.ts'
import { normals } from '#test/engines/kernels/memory.ts'

const shape = { kvHeadCount: 2, headSize: 4 }
const blocks = 3

function create(maximumBytes?: number) {
  const workspace = createWorkspace(maximumBytes === undefined ? {} : { maximumBytes })
  const pool = createPagePool(workspace, pagePartBytes(shape.kvHeadCount, shape.headSize))
  const read = (cache: SessionCache, length: number) => readCache(workspace, cache, blocks, length, shape)
  const numbers = (length: number, seed: number) =>
    normals(blocks * 2 * length * shape.kvHeadCount * shape.headSize, seed)
  return {
    workspace,
    pool,
    read,
    numbers,
    filled(length: number, seed: number) {
      const cache = createSessionCache(pool, blocks)
      cache.reserve(0, length)
      writeCache(workspace, cache, blocks, length, shape, numbers(length, seed))
      return cache
    },
  }
}

describe('a session’s cache', () => {
  test('takes whole pages as positions come, and gives them back as they go', () => {
    const { pool } = create()
    const cache = createSessionCache(pool, blocks)
    expect(cache.bytes).toBe(0)
    cache.reserve(0, 1)
    expect(cache.bytes).toBe(blocks * pool.pageBytes)
    cache.reserve(1, pageSlots)
    expect(cache.bytes).toBe(blocks * pool.pageBytes)
    cache.reserve(pageSlots, pageSlots + 1)
    expect(cache.bytes).toBe(2 * blocks * pool.pageBytes)
    cache.truncate(pageSlots)
    expect(cache.bytes).toBe(blocks * pool.pageBytes)
    cache.truncate(0)
    expect([cache.bytes, pool.bytesInUse]).toEqual([0, 0])
  })

  test('is exported as it was imported, at any length', () => {
    const { read, numbers, filled } = create()
    for (const length of [0, 1, pageSlots - 1, pageSlots, 2 * pageSlots + 5]) {
      expect(read(filled(length, 1), length)).toEqual(numbers(length, 1))
    }
  })

  test('shares pages with its fork until one of them writes, and then keeps what it had', () => {
    const { workspace, pool, read, numbers, filled } = create()
    const length = 2 * pageSlots
    const parent = filled(length, 1)
    const before = pool.bytesInUse
    const fork = parent.fork(length - 3)
    expect(pool.bytesInUse).toBe(before)
    expect(fork.pages(1)).toEqual(parent.pages(1))
    // The second page of each block is written to, so it is copied; the first stays shared.
    fork.reserve(length - 3, length)
    expect(pool.bytesInUse).toBe(before + blocks * pool.pageBytes)
    expect(fork.pages(0)[0]).toBe(parent.pages(0)[0])
    writeCache(workspace, fork, blocks, length, shape, numbers(length, 1))
    for (const page of fork.pages(2).slice(1)) workspace.floats(page, 4).fill(99)
    expect(read(parent, length)).toEqual(numbers(length, 1))
    parent.dispose()
    expect(fork.bytes).toBe(2 * blocks * pool.pageBytes)
    fork.dispose()
    expect(pool.bytesInUse).toBe(0)
  })

  test('takes all of the pages it asks for or none', () => {
    const { workspace, pool, filled } = create(2 ** 17)
    const cache = filled(pageSlots, 1)
    const before = [cache.bytes, pool.bytesInUse, workspace.bytesInUse]
    expect(() => cache.reserve(pageSlots, 10_000 * pageSlots)).toThrow(WorkspaceFullError)
    expect([cache.bytes, pool.bytesInUse, workspace.bytesInUse]).toEqual(before)
  })

  test('and its forks leave nothing behind, whatever happens to them in whatever order', () => {
    const step = fc.record({
      kind: fc.constantFrom('reserve', 'truncate', 'fork', 'dispose'),
      which: fc.nat({ max: 5 }),
      length: fc.nat({ max: 3 * pageSlots }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { workspace, pool } = create()
        const before = workspace.bytesInUse
        const caches = [{ cache: createSessionCache(pool, blocks), length: 0 }]
        for (const { kind, which, length } of steps) {
          const one = caches[which % Math.max(1, caches.length)]
          if (one === undefined) break
          const shorter = Math.min(length, one.length)
          if (kind === 'reserve') {
            one.cache.reserve(one.length, one.length + length)
            one.length += length
          } else if (kind === 'truncate') {
            one.cache.truncate(shorter)
            one.length = shorter
          } else if (kind === 'fork') caches.push({ cache: one.cache.fork(shorter), length: shorter })
          else {
            one.cache.dispose()
            caches.splice(caches.indexOf(one), 1)
          }
          for (const { cache, length: held } of caches) {
            expect(cache.pages(blocks - 1).length).toBe(Math.ceil(held / pageSlots))
          }
        }
        for (const { cache } of caches) cache.dispose()
        expect([pool.bytesInUse, workspace.bytesInUse]).toEqual([0, before])
      }),
    )
  })
})
