/** The part of the ledger that the page holds: newest first, without gaps, grown at either end. Pure. */
import type { LedgerList, LedgerRow } from '#contracts/api/ledger.ts'

/** A `LedgerList`, as one or more of them laid together. */
export type LedgerPages = {
  readonly rows: readonly LedgerRow[]
  /** Where older rows begin; null when the oldest is here. */
  readonly next: number | null
  readonly totalEntries: number
  readonly allTime: LedgerList['allTime']
}

export function withOlder(pages: LedgerPages, page: LedgerPages): LedgerPages {
  const oldest = pages.rows.at(-1)?.sequence ?? Number.POSITIVE_INFINITY
  const rows = [...pages.rows, ...page.rows.filter((row) => row.sequence < oldest)]
  return { rows, next: page.next, totalEntries: page.totalEntries, allTime: page.allTime }
}

/**
 * The newest page, laid on what is here. When it does not reach down to what is here, rows between them are unknown, and
 * only the new page is kept: "Load older" brings the rest again.
 */
export function withNewest(pages: LedgerPages, page: LedgerPages): LedgerPages {
  const newest = pages.rows[0]?.sequence ?? -1
  const meets = page.next === null || page.rows.some((row) => row.sequence <= newest)
  if (!meets) return page
  const rows = [...page.rows.filter((row) => row.sequence > newest), ...pages.rows]
  const next = pages.rows.length === 0 ? page.next : pages.next
  return { rows, next, totalEntries: page.totalEntries, allTime: page.allTime }
}
