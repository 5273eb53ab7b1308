/** Entries as rows and back. Digests and signatures are blobs; everything else is stored as it is. */
import type { SignedLedgerEntry } from '#contracts/receipt/ledger-entry.ts'

export type Row = Readonly<Record<string, unknown>>

export function toRow(entry: SignedLedgerEntry): Row {
  return {
    sequence: entry.sequence,
    version: entry.version,
    previous_hash: Buffer.from(entry.previousHash, 'hex'),
    kind: entry.kind,
    session_id: entry.sessionId,
    peer_id: entry.peerId,
    model_digest: Buffer.from(entry.modelDigest, 'hex'),
    span_start: entry.span.start,
    span_end: entry.span.end,
    tokens_in: entry.tokensIn,
    tokens_out: entry.tokensOut,
    bytes_received: entry.bytesReceived,
    bytes_sent: entry.bytesSent,
    started_at_ms: entry.startedAtMs,
    duration_ms: entry.durationMs,
    outcome: entry.outcome,
    hash: Buffer.from(entry.hash, 'hex'),
    signature: Buffer.from(entry.signature),
  }
}

/** What the row says, right or wrong: a damaged row must reach whoever judges it. Parse before relying on the type. */
export function fromRow(row: Row): SignedLedgerEntry {
  const claimed: Record<keyof SignedLedgerEntry, unknown> = {
    version: row['version'],
    sequence: row['sequence'],
    previousHash: hexOf(row['previous_hash']),
    kind: row['kind'],
    sessionId: row['session_id'],
    peerId: row['peer_id'],
    modelDigest: hexOf(row['model_digest']),
    span: { start: row['span_start'], end: row['span_end'] },
    tokensIn: row['tokens_in'],
    tokensOut: row['tokens_out'],
    bytesReceived: row['bytes_received'],
    bytesSent: row['bytes_sent'],
    startedAtMs: row['started_at_ms'],
    durationMs: row['duration_ms'],
    outcome: row['outcome'],
    hash: hexOf(row['hash']),
    signature: row['signature'] instanceof Uint8Array ? new Uint8Array(row['signature']) : row['signature'],
  }
  return claimed as SignedLedgerEntry
}

function hexOf(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value
}
