/**
 * The ledger: signed entries that can only be added, each after the last one, and notes of sessions under way.
 *
 * The triggers keep honest code honest; against someone with a hex editor there is the hash chain. The insert trigger
 * also stops `INSERT OR REPLACE`, which removes rows without firing delete triggers.
 */
import type { Database } from 'better-sqlite3'

export const number = 10

export function up(database: Database): void {
  database.exec(`
    CREATE TABLE ledger (
      only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
      peer_id TEXT NOT NULL
    ) STRICT;

    CREATE TABLE entries (
      sequence INTEGER PRIMARY KEY CHECK (sequence >= 0),
      version INTEGER NOT NULL CHECK (version >= 1),
      previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
      kind TEXT NOT NULL CHECK (kind IN ('served', 'used')),
      session_id TEXT NOT NULL,
      peer_id TEXT NOT NULL,
      model_digest BLOB NOT NULL CHECK (length(model_digest) = 32),
      span_start INTEGER NOT NULL CHECK (span_start >= 0),
      span_end INTEGER NOT NULL CHECK (span_end > span_start),
      tokens_in INTEGER NOT NULL CHECK (tokens_in >= 0),
      tokens_out INTEGER NOT NULL CHECK (tokens_out >= 0),
      bytes_received INTEGER NOT NULL CHECK (bytes_received >= 0),
      bytes_sent INTEGER NOT NULL CHECK (bytes_sent >= 0),
      started_at_ms INTEGER NOT NULL CHECK (started_at_ms >= 0),
      duration_ms INTEGER NOT NULL CHECK (duration_ms >= 0),
      outcome TEXT NOT NULL CHECK (outcome IN ('completed', 'interrupted', 'failed')),
      hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
      signature BLOB NOT NULL CHECK (length(signature) = 64)
    ) STRICT;

    -- Pages of one kind, newest first.
    CREATE INDEX entries_by_kind ON entries (kind, sequence);
    -- Totals since a moment, without touching the rows.
    CREATE INDEX entries_by_start ON entries (
      started_at_ms, kind, tokens_in, tokens_out, bytes_received, bytes_sent
    );
    -- Whether a session has its entry already.
    CREATE INDEX entries_by_session ON entries (session_id, kind);

    CREATE TRIGGER entries_follow_each_other BEFORE INSERT ON entries
    WHEN NEW.sequence <> (SELECT coalesce(max(sequence) + 1, 0) FROM entries)
      OR NEW.previous_hash <> coalesce((SELECT hash FROM entries ORDER BY sequence DESC LIMIT 1), zeroblob(32))
    BEGIN
      SELECT RAISE(ABORT, 'an entry follows the last one');
    END;

    CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries
    BEGIN
      SELECT RAISE(ABORT, 'the ledger is append-only');
    END;

    CREATE TRIGGER entries_never_go BEFORE DELETE ON entries
    BEGIN
      SELECT RAISE(ABORT, 'the ledger is append-only');
    END;

    CREATE TABLE session_notes (
      kind TEXT NOT NULL,
      session_id TEXT NOT NULL,
      -- The record so far, as JSON: scratch, read back only after a crash.
      record TEXT NOT NULL,
      owner_pid INTEGER NOT NULL,
      owner_start TEXT NOT NULL,
      PRIMARY KEY (kind, session_id)
    ) STRICT, WITHOUT ROWID;
  `)
}
