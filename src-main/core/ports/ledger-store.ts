/**
 * Where the ledger is kept. The store appends, chains and signs in one durable step; it can never change or remove an
 * entry. Sessions under way are journalled, so that a killed process loses at most the last few seconds' counts.
 */
import type { LedgerHead, SessionRecord, SignedLedgerEntry } from '#contracts/receipt/ledger-entry.ts'

export interface LedgerPage {
  /** Newest first. */
  readonly entries: readonly SignedLedgerEntry[]
  /** Pass as `before` for the next page; null at the end. */
  readonly next: number | null
}

/** Sums over entries that started at or after a moment. */
export interface LedgerTotals {
  readonly servedSessions: number
  readonly servedTokens: number // tokensIn + tokensOut
  readonly usedSessions: number
  readonly usedTokens: number
  readonly bytesReceived: number
  readonly bytesSent: number
}

export interface LedgerStore {
  /** Durable when it resolves. */
  append(record: SessionRecord): Promise<SignedLedgerEntry>
  /** Notes a session under way (replacing an earlier note of the same kind and session id); `append` removes the note. */
  journal(record: SessionRecord): Promise<void>
  /** Turns notes left by a crash into entries with outcome `failed`; returns how many. Called once, before serving. */
  recover(): Promise<number>
  page(options: { before?: number; limit: number; kind?: 'served' | 'used' }): Promise<LedgerPage>
  totals(sinceMs: number): Promise<LedgerTotals>
  count(): Promise<number>
  /**
   * The newest entry's seal as kept outside of the entries; null before the first. Never ahead of the entries while all
   * is well: read it before `entries()` and pass it to `verifyChain`.
   */
  head(): Promise<LedgerHead | null>
  /** All entries in sequence order, read in batches, for verification and export. As stored: not checked in any way. */
  entries(): AsyncIterable<SignedLedgerEntry>
  close(): Promise<void>
}
