import Database from 'better-sqlite3'
import { expect, it } from 'vitest'
import { number, up } from '#adapters/sqlite/migrations/0010-entries-and-session-notes.ts'

it('makes the tables, indices and triggers of schema 10', () => {
  const database = new Database(':memory:')
  up(database)
  const names = database
    .prepare("SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name")
    .pluck()
    .all()
  expect(number).toBe(10)
  expect(names).toEqual([
    'index entries_by_kind',
    'index entries_by_session',
    'index entries_by_start',
    'table entries',
    'table ledger',
    'table session_notes',
    'trigger entries_follow_each_other',
    'trigger entries_never_change',
    'trigger entries_never_go',
  ])
})

it('answers totals from the index alone, and pages without sorting', () => {
  const database = new Database(':memory:')
  up(database)
  const plan = (sql: string) =>
    database
      .prepare<[], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map((step) => step.detail)
  expect(plan('SELECT sum(bytes_sent) FROM entries WHERE started_at_ms >= 1')).toEqual([
    'SEARCH entries USING COVERING INDEX entries_by_start (started_at_ms>?)',
  ])
  expect(plan("SELECT * FROM entries WHERE kind = 'used' AND sequence < 9 ORDER BY sequence DESC")).toEqual([
    'SEARCH entries USING INDEX entries_by_kind (kind=? AND sequence<?)',
  ])
})
