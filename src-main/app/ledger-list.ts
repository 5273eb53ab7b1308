import type { LedgerList, LedgerRow } from '#contracts/api/ledger.ts'
import { digestSchema } from '#contracts/digest.ts'
import type { SignedLedgerEntry } from '#contracts/receipt/ledger-entry.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'

/** One page of the ledger with its sums, as the UI and the command line show it. */
export async function listLedger(
  components: { ledger: LedgerStore; peerId: string },
  request: { before: number | null; limit: number; kind: 'served' | 'used' | null },
): Promise<LedgerList> {
  const { ledger, peerId } = components
  const [page, totalEntries, allTime] = await Promise.all([
    ledger.page({
      limit: request.limit,
      ...(request.before === null ? {} : { before: request.before }),
      ...(request.kind === null ? {} : { kind: request.kind }),
    }),
    ledger.count(),
    ledger.totals(0),
  ])
  return { rows: page.entries.map((entry) => toRow(entry, peerId)), next: page.next, totalEntries, allTime }
}

function toRow(entry: SignedLedgerEntry, selfId: string): LedgerRow {
  const { version: _v, previousHash: _p, signature: _s, sessionId: _id, hash, ...rest } = entry
  return { ...rest, hash: digestSchema.parse(hash), self: entry.peerId === selfId }
}
