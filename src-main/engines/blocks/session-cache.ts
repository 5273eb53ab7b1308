/** One sequence's keys and values over some blocks: for each block, the pages of its positions in order. */
import { pageSlots } from '../kernels/kernels.ts'
import type { Workspace } from '../kernels/workspace.ts'
import type { PagePool } from './page-pool.ts'

export interface SessionCache {
  readonly bytes: number
  /** Pages for positions [0, to) of every block, those from `from` on writable. All or nothing. */
  reserve(from: number, to: number): void
  /** Pointers to the pages of block `index` (counted from the session's first). */
  pages(index: number): readonly number[]
  /** Lets pages go that hold only positions from `length` on. */
  truncate(length: number): void
  /** Holds the same pages up to `length`. */
  fork(length: number): SessionCache
  dispose(): void
}

export function createSessionCache(pool: PagePool, blockCount: number): SessionCache {
  return fromTables(
    pool,
    Array.from({ length: blockCount }, () => []),
  )
}

function fromTables(pool: PagePool, tables: number[][]): SessionCache {
  function shrink(pageCount: number): void {
    for (const table of tables) for (const page of table.splice(pageCount)) pool.release(page)
  }
  function heldPages(): number {
    return tables.reduce((sum, table) => sum + table.length, 0)
  }

  return {
    get bytes() {
      return heldPages() * pool.pageBytes
    },
    reserve(from, to) {
      const before = tables[0]?.length ?? 0
      try {
        for (const table of tables) {
          for (let i = Math.floor(from / pageSlots); i < table.length; i++) table[i] = pool.own(table[i] as number)
          while (table.length * pageSlots < to) table.push(pool.acquire())
        }
      } catch (error) {
        shrink(before)
        throw error
      }
    },
    pages: (index) => tables[index] ?? [],
    truncate: (length) => shrink(Math.ceil(length / pageSlots)),
    fork(length) {
      const pageCount = Math.ceil(length / pageSlots)
      const shared = tables.map((table) => table.slice(0, pageCount))
      for (const table of shared) for (const page of table) pool.share(page)
      return fromTables(pool, shared)
    },
    dispose: () => shrink(0),
  }
}

interface Shape {
  readonly kvHeadCount: number
  readonly headSize: number
}

/** The cache's positions [0, length) as (blocks, 2, length, kvHeads * headSize). */
export function readCache(
  workspace: Workspace,
  cache: SessionCache,
  blocks: number,
  length: number,
  shape: Shape,
): Float32Array {
  const width = shape.kvHeadCount * shape.headSize
  const target = new Float32Array(blocks * 2 * length * width)
  eachHeadRow(workspace, cache, blocks, length, shape, (row, at) => target.set(row, at))
  return target
}

/** Fills positions [0, length) of a cache that has pages for them. */
export function writeCache(
  workspace: Workspace,
  cache: SessionCache,
  blocks: number,
  length: number,
  shape: Shape,
  source: Float32Array,
): void {
  eachHeadRow(workspace, cache, blocks, length, shape, (row, at) => row.set(source.subarray(at, at + row.length)))
}

/** Visits each head's vector of each position: in memory, and where it lies in the exported form. */
function eachHeadRow(
  workspace: Workspace,
  cache: SessionCache,
  blocks: number,
  length: number,
  { kvHeadCount, headSize }: Shape,
  visit: (row: Float32Array, at: number) => void,
): void {
  const width = kvHeadCount * headSize
  const half = kvHeadCount * pageSlots * headSize
  for (let block = 0; block < blocks; block++) {
    for (const [p, page] of cache.pages(block).entries()) {
      const floats = workspace.floats(page, 2 * half)
      const first = p * pageSlots
      const slots = Math.min(pageSlots, length - first)
      for (let side = 0; side < 2; side++) {
        for (let head = 0; head < kvHeadCount; head++) {
          for (let slot = 0; slot < slots; slot++) {
            const start = side * half + (head * pageSlots + slot) * headSize
            const at = ((block * 2 + side) * length + first + slot) * width + head * headSize
            visit(floats.subarray(start, start + headSize), at)
          }
        }
      }
    }
  }
}
