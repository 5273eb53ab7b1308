/** Reads the ledger: pages for people, sums, and all entries as stored for verification. */
import * as z from 'zod'
import { type SignedLedgerEntry, signedLedgerEntrySchema } from '#contracts/receipt/ledger-entry.ts'
import type { LedgerPage, LedgerTotals } from '#core/ports/ledger-store.ts'
import { LedgerCorruptError, ledgerErrorOf } from './ledger-errors.ts'
import type { LedgerFile } from './ledger-file.ts'
import { fromRow, type Row } from './rows.ts'

/** Entries read at once while walking all of them: no lock and no memory is held between batches. */
const batchSize = 256

const count = z.int().min(0)
const totalsSchema: z.ZodType<LedgerTotals> = z.strictObject({
  servedSessions: count,
  servedTokens: count,
  usedSessions: count,
  usedTokens: count,
  bytesReceived: count,
  bytesSent: count,
})

export const pageOptionsSchema = z.strictObject({
  before: count.optional(),
  limit: count.min(1).max(1000),
  kind: z.enum(['served', 'used']).optional(),
})
type PageOptions = z.infer<typeof pageOptionsSchema>

export function readPage({ path, statements }: LedgerFile, options: PageOptions): LedgerPage {
  const { kind, before = Number.MAX_SAFE_INTEGER } = options
  const limit = options.limit + 1 // one more than asked for tells whether there is a next page
  const rows =
    kind === undefined ? statements.page.all({ before, limit }) : statements.pageOfKind.all({ before, limit, kind })
  const entries = rows.slice(0, options.limit).map((row) => parseRow(path, row))
  return { entries, next: rows.length === limit ? (entries.at(-1)?.sequence ?? null) : null }
}

export function readTotals({ path, statements }: LedgerFile, sinceMs: number): LedgerTotals {
  const parsed = totalsSchema.safeParse(statements.totals.get(sinceMs))
  if (!parsed.success) throw new LedgerCorruptError(path, 'sums that no ledger has', { cause: parsed.error })
  return parsed.data
}

export async function* readAll({ path, database, statements }: LedgerFile): AsyncGenerator<SignedLedgerEntry> {
  let after = -Number.MAX_SAFE_INTEGER
  for (;;) {
    const rows = batchAfter(after)
    yield* rows.map(fromRow)
    if (rows.length < batchSize) return
    after = Number(rows.at(-1)?.['sequence'])
  }

  function batchAfter(sequence: number): Row[] {
    try {
      return statements.batch.all({ after: sequence, limit: batchSize })
    } catch (error) {
      throw ledgerErrorOf(path, database.open ? error : new Error('the ledger was closed while it was read'))
    }
  }
}

function parseRow(path: string, row: Row): SignedLedgerEntry {
  const parsed = signedLedgerEntrySchema.safeParse(fromRow(row))
  if (parsed.success) return parsed.data
  throw new LedgerCorruptError(path, `entry ${String(row['sequence'])} is malformed`, { cause: parsed.error })
}
