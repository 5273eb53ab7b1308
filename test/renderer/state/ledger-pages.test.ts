import { createRouterClient } from '@orpc/server'
import { describe, expect, test } from 'vitest'
import type { LedgerList } from '#contracts/api/ledger.ts'
import { type LedgerPages, withNewest, withOlder } from '#renderer/state/ledger-pages.ts'
import { createInMemoryNode } from '#test/fakes/in-memory-node.ts'

const whole = await createRouterClient(createInMemoryNode().router).ledger.list({ limit: 500 })

/** A page as the node would answer when entries up to `newest` exist. */
function page(newest: number, before: number | null, limit: number): LedgerList {
  const fitting = whole.rows.filter((row) => row.sequence <= newest && (before === null || row.sequence < before))
  const rows = fitting.slice(0, limit)
  const next = fitting.length > limit ? (rows.at(-1)?.sequence ?? null) : null
  return { rows, next, totalEntries: newest + 1, allTime: whole.allTime }
}

function sequences(pages: LedgerPages): number[] {
  return pages.rows.map((row) => row.sequence)
}

describe('the pages of the ledger', () => {
  test('older rows join below without gap or repetition', () => {
    const pages = withOlder(page(20, null, 5), page(20, 16, 5))
    expect(sequences(pages)).toEqual([20, 19, 18, 17, 16, 15, 14, 13, 12, 11])
    expect(pages.next).toBe(11)
  })

  test('newer rows join above and what was loaded stays', () => {
    const loaded = withOlder(page(20, null, 5), page(20, 16, 5))
    const pages = withNewest(loaded, page(22, null, 5))
    expect(sequences(pages)).toEqual([22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11])
    expect(pages).toMatchObject({ next: 11, totalEntries: 23 })
  })

  test('when more came than a page holds, the view starts anew instead of hiding a gap', () => {
    const pages = withNewest(page(20, null, 5), page(60, null, 5))
    expect(sequences(pages)).toEqual([60, 59, 58, 57, 56])
    expect(pages.next).toBe(56)
  })

  test('the first entries appear in an empty ledger', () => {
    const empty: LedgerList = { ...page(20, null, 5), rows: [], next: null, totalEntries: 0 }
    expect(sequences(withNewest(empty, page(2, null, 5)))).toEqual([2, 1, 0])
  })
})
