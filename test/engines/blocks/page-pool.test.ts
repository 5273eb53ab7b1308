import { describe, expect, test } from 'vitest'
import { createPagePool } from '#engines/blocks/page-pool.ts'
import { createWorkspace } from '#engines/kernels/workspace.ts'

const pageBytes = 256

function create() {
  const workspace = createWorkspace()
  const pool = createPagePool(workspace, pageBytes)
  return { workspace, pool, floats: (page: number) => workspace.floats(page, pageBytes / 4) }
}

describe('a page', () => {
  test('is its taker’s alone, and back when it is released', () => {
    const { workspace, pool } = create()
    const before = workspace.bytesInUse
    const [a, b] = [pool.acquire(), pool.acquire()]
    expect(a).not.toBe(b)
    expect(pool.bytesInUse).toBe(2 * pageBytes)
    pool.release(a)
    pool.release(b)
    expect([pool.bytesInUse, workspace.bytesInUse]).toEqual([0, before])
  })

  test('held by two is there until both have let go', () => {
    const { pool } = create()
    const page = pool.acquire()
    pool.share(page)
    pool.release(page)
    expect(pool.bytesInUse).toBe(pageBytes)
    pool.release(page)
    expect(pool.bytesInUse).toBe(0)
  })

  test('that the caller alone holds is written in place', () => {
    const { pool } = create()
    const page = pool.acquire()
    expect(pool.own(page)).toBe(page)
  })

  test('that is shared is copied for the writer, and the other holder’s stays as it was', () => {
    const { pool, floats } = create()
    const page = pool.acquire()
    floats(page).fill(7)
    pool.share(page)
    const copy = pool.own(page)
    expect(copy).not.toBe(page)
    expect([...floats(copy)].every((value) => value === 7)).toBe(true)
    floats(copy).fill(1)
    expect(floats(page)[0]).toBe(7)
    expect(pool.bytesInUse).toBe(2 * pageBytes)
    pool.release(copy)
    pool.release(page)
    expect(pool.bytesInUse).toBe(0)
  })

  test('released once too often is an error, not somebody else’s page given away', () => {
    const { pool } = create()
    const page = pool.acquire()
    pool.release(page)
    expect(() => pool.release(page)).toThrow(RangeError)
  })
})
