/** Every SQL statement of the ledger store, prepared once. Values are always bound, never written into the text. */
import type Database from 'better-sqlite3'
import type { Row } from './rows.ts'

type Statement<Parameters extends unknown[], Result = unknown> = Database.Statement<Parameters, Result>

interface PageParameters {
  readonly before: number
  readonly limit: number
}

export interface Statements {
  readonly newest: Statement<[], Row>
  readonly hashAt: Statement<[number], Buffer>
  readonly count: Statement<[], number>
  readonly insert: Statement<[Row]>
  readonly page: Statement<[PageParameters], Row>
  readonly pageOfKind: Statement<[PageParameters & { readonly kind: string }], Row>
  readonly batch: Statement<[{ readonly after: number; readonly limit: number }], Row>
  readonly totals: Statement<[number], Row>
  readonly note: Statement<[Row]>
  readonly notes: Statement<[], Row>
  readonly dropNote: Statement<[string, string]>
}

export function prepareStatements(database: Database.Database): Statements {
  return {
    newest: database.prepare('SELECT * FROM entries ORDER BY sequence DESC LIMIT 1'),

    hashAt: database.prepare<[number], Buffer>('SELECT hash FROM entries WHERE sequence = ?').pluck(),

    count: database.prepare<[], number>('SELECT count(*) FROM entries').pluck(),

    insert: database.prepare(`
      INSERT INTO entries (
        sequence, version, previous_hash, kind, session_id, peer_id, model_digest, span_start, span_end, tokens_in,
        tokens_out, bytes_received, bytes_sent, started_at_ms, duration_ms, outcome, hash, signature
      ) VALUES (
        @sequence, @version, @previous_hash, @kind, @session_id, @peer_id, @model_digest, @span_start, @span_end,
        @tokens_in, @tokens_out, @bytes_received, @bytes_sent, @started_at_ms, @duration_ms, @outcome, @hash, @signature
      )`),

    page: database.prepare('SELECT * FROM entries WHERE sequence < @before ORDER BY sequence DESC LIMIT @limit'),

    pageOfKind: database.prepare(
      'SELECT * FROM entries WHERE kind = @kind AND sequence < @before ORDER BY sequence DESC LIMIT @limit',
    ),

    batch: database.prepare('SELECT * FROM entries WHERE sequence > @after ORDER BY sequence LIMIT @limit'),

    totals: database.prepare(`
      SELECT
        count(*) FILTER (WHERE kind = 'served') AS servedSessions,
        coalesce(sum(tokens_in + tokens_out) FILTER (WHERE kind = 'served'), 0) AS servedTokens,
        count(*) FILTER (WHERE kind = 'used') AS usedSessions,
        coalesce(sum(tokens_in + tokens_out) FILTER (WHERE kind = 'used'), 0) AS usedTokens,
        coalesce(sum(bytes_received), 0) AS bytesReceived,
        coalesce(sum(bytes_sent), 0) AS bytesSent
      FROM entries WHERE started_at_ms >= ?`),

    // A late note of a session that has its entry already must not come back as a second entry after a crash.
    note: database.prepare(`
      INSERT INTO session_notes (kind, session_id, record, owner_pid, owner_start)
      SELECT @kind, @session_id, @record, @owner_pid, @owner_start
      WHERE NOT EXISTS (
        SELECT 1 FROM entries
        WHERE session_id = @session_id AND kind = @kind AND started_at_ms = @started_at_ms
      )
      ON CONFLICT (kind, session_id) DO UPDATE SET
        record = excluded.record, owner_pid = excluded.owner_pid, owner_start = excluded.owner_start`),

    notes: database.prepare('SELECT record, owner_pid, owner_start FROM session_notes'),

    dropNote: database.prepare('DELETE FROM session_notes WHERE kind = ? AND session_id = ?'),
  }
}
