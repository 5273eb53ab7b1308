import Database from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { ledgerErrorOf } from '#adapters/sqlite/ledger-errors.ts'
import { InvalidInputError } from '#contracts/errors.ts'

function thrownBy(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

describe('naming what SQLite throws', () => {
  it('calls a full disk a storage failure', () => {
    const database = new Database(':memory:')
    database.exec('CREATE TABLE t (x)')
    database.pragma('max_page_count = 3')
    const full = thrownBy(() => database.exec('INSERT INTO t VALUES (zeroblob(100000))'))
    expect(ledgerErrorOf('ledger.db', full)).toMatchObject({
      code: 'storage-failed',
      params: { file: 'ledger.db', what: 'database or disk is full (SQLITE_FULL)' },
      cause: full,
    })
  })

  it('calls a read-only file a storage failure', () => {
    const readonly = thrownBy(() => {
      const database = new Database(':memory:')
      database.pragma('query_only = ON')
      database.exec('CREATE TABLE t (x)')
    })
    expect(ledgerErrorOf('ledger.db', readonly)).toMatchObject({ code: 'storage-failed' })
  })

  it('calls damaged content corrupt', () => {
    const damaged = new Database.SqliteError('database disk image is malformed', 'SQLITE_CORRUPT_INDEX')
    expect(ledgerErrorOf('ledger.db', damaged)).toMatchObject({ code: 'ledger-corrupt' })
  })

  it('calls a failing file system a storage failure', () => {
    const failed = Object.assign(new Error('ENOSPC: no space left on device, write'), { syscall: 'write' })
    expect(ledgerErrorOf('ledger.db', failed)).toMatchObject({ code: 'storage-failed', cause: failed })
  })

  it('leaves what has a name, and our own mistakes, as they are', () => {
    const named = new InvalidInputError('limit', 'too small')
    const mistake = new TypeError('undefined is not a function')
    expect(ledgerErrorOf('ledger.db', named)).toBe(named)
    expect(ledgerErrorOf('ledger.db', mistake)).toBe(mistake)
  })
})
