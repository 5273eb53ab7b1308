import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { headPath } from '#adapters/sqlite/head-file.ts'
import { LedgerCorruptError } from '#adapters/sqlite/ledger-errors.ts'
import { codeOf } from '#contracts/errors.ts'
import type { SignedLedgerEntry } from '#contracts/receipt/ledger-entry.ts'
import { knownIdentity, sessionRecord } from '#test/core/ledger/known-ledger.ts'
import { createScratchLedger, type ScratchLedger } from './scratch-ledger.ts'

let ledger: ScratchLedger

beforeEach(() => {
  ledger = createScratchLedger()
})

afterEach(() => ledger.remove())

describe('the database itself', () => {
  it.each([
    'UPDATE entries SET tokens_out = 1000000 WHERE sequence = 1',
    'DELETE FROM entries WHERE sequence = 2',
    'INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE sequence = 1',
    `INSERT INTO entries SELECT sequence + 5, version, previous_hash, kind, session_id, peer_id, model_digest, span_start,
       span_end, tokens_in, tokens_out, bytes_received, bytes_sent, started_at_ms, duration_ms, outcome, randomblob(32),
       signature FROM entries WHERE sequence = 2`,
  ])('refuses %s', async (sql) => {
    await ledger.fill(3)
    const database = new Database(ledger.file)
    expect(() => database.exec(sql)).toThrow(/append-only|follows the last/)
    database.close()
    expect(await ledger.verdict(ledger.open())).toMatchObject({ kind: 'intact', entries: 3 })
  })
})

const columns = [
  'sequence',
  'version',
  'previous_hash',
  'kind',
  'session_id',
  'peer_id',
  'model_digest',
  'span_start',
  'span_end',
  'tokens_in',
  'tokens_out',
  'bytes_received',
  'bytes_sent',
  'started_at_ms',
  'duration_ms',
  'outcome',
  'hash',
  'signature',
] as const

/** SQL for another value of the column's own type. */
function otherValue(column: (typeof columns)[number]): string {
  if (column === 'kind') return "iif(kind = 'served', 'used', 'served')"
  if (column === 'outcome') return "iif(outcome = 'failed', 'completed', 'failed')"
  if (column === 'session_id' || column === 'peer_id') return `substr(${column}, 2) || '1'`
  if (['previous_hash', 'model_digest', 'hash'].includes(column)) return 'randomblob(32)'
  if (column === 'signature') return 'randomblob(64)'
  return column === 'sequence' ? 'sequence + 100' : `${column} + 1`
}

describe('verifying a ledger that was tampered with', () => {
  it.each(columns)('finds a changed %s at or before its row', async (column) => {
    await ledger.fill(4)
    ledger.tamper(`UPDATE entries SET ${column} = ${otherValue(column)} WHERE sequence = 2`)
    const verdict = await ledger.verdict(ledger.open())
    expect(verdict.kind === 'broken' && verdict.sequence).toBe(2)
  })

  it('finds a removed row', async () => {
    await ledger.fill(4)
    ledger.tamper('DELETE FROM entries WHERE sequence = 1')
    expect(await ledger.verdict(ledger.open())).toEqual({ kind: 'broken', sequence: 1, because: 'gap' })
  })

  it('finds a cut tail, and appends nothing that would hide it', async () => {
    await ledger.fill(4)
    ledger.tamper('DELETE FROM entries WHERE sequence >= 2')
    const store = ledger.open()
    expect(await ledger.verdict(store)).toEqual({ kind: 'broken', sequence: 2, because: 'truncated' })
    await expect(store.append(sessionRecord())).rejects.toThrow(LedgerCorruptError)
    await expect(store.recover()).rejects.toMatchObject({ code: 'ledger-corrupt' })
    expect(await store.count()).toBe(2)
    expect(await store.head()).toMatchObject({ sequence: 3 })
  })

  it('finds that the whole file was replaced by nothing', async () => {
    await ledger.fill(3)
    rmSync(ledger.file)
    expect(await ledger.verdict(ledger.open())).toEqual({ kind: 'broken', sequence: 0, because: 'truncated' })
  })

  it('finds any flipped bit that changes what the file says', async () => {
    await ledger.fill(12)
    const pristine = readFileSync(ledger.file)
    const entries = await allBytes()
    const property = fc.asyncProperty(fc.nat(pristine.length - 1), fc.nat(7), async (at, bit) => {
      const flipped = Buffer.from(pristine)
      flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << bit), at)
      writeFileSync(ledger.file, flipped)
      const outcome = await openAndVerify()
      if (outcome === 'intact') expect(await allBytes()).toBe(entries)
      // SQLite opens a file whose header names a later file format for reading only, which comes out as storage-failed.
      else expect(outcome).toMatch(/^(broken|ledger-corrupt|ledger-newer|storage-failed)$/)
    })
    await fc.assert(property, { numRuns: 120 })
  })

  async function openAndVerify(): Promise<string> {
    rmSync(`${ledger.file}-wal`, { force: true })
    rmSync(`${ledger.file}-shm`, { force: true })
    try {
      const store = ledger.open()
      const verdict = await ledger.verdict(store)
      await store.close()
      return verdict.kind
    } catch (error) {
      return codeOf(error)
    }
  }

  async function allBytes(): Promise<string> {
    const store = ledger.open()
    const entries: SignedLedgerEntry[] = []
    for await (const entry of store.entries()) entries.push(entry)
    await store.close()
    return JSON.stringify(entries)
  }
})

describe('opening a file that is no sound ledger', () => {
  const opening = () => ledger.open()

  it('names random bytes, and leaves them as they are', () => {
    const bytes = Buffer.alloc(5000, 'not a database ')
    writeFileSync(ledger.file, bytes)
    expect(opening).toThrow(LedgerCorruptError)
    expect(readFileSync(ledger.file)).toEqual(bytes)
  })

  it('names a file cut in the middle, and leaves it as it is', async () => {
    await ledger.fill(60)
    truncateSync(ledger.file, 4096 * 5 + 100)
    const bytes = readFileSync(ledger.file)
    expect(opening).toThrow(LedgerCorruptError)
    expect(readFileSync(ledger.file)).toEqual(bytes)
  })

  it('refuses the database of another program', () => {
    const other = new Database(ledger.file)
    other.exec('CREATE TABLE bookmarks (url TEXT)')
    other.close()
    const bytes = readFileSync(ledger.file)
    expect(opening).toThrow(/another kind/)
    expect(readFileSync(ledger.file)).toEqual(bytes)
  })

  it('notices a trigger that somebody removed', async () => {
    await ledger.fill(1)
    const database = new Database(ledger.file)
    database.exec('DROP TRIGGER entries_never_change')
    database.close()
    expect(opening).toThrow(/schema/)
  })

  it('refuses the ledger of another node', async () => {
    await ledger.fill(1)
    const stranger = await knownIdentity(9)
    expect(() => ledger.open({ identity: stranger })).toThrow(/not of this node/)
  })

  it('says that its folder is missing or is no folder', () => {
    expect(() => ledger.open({ file: `${ledger.folder}/missing/ledger.db` })).toThrow(/directory/)
    expect(() => ledger.open({ file: ledger.folder })).toThrow(
      expect.objectContaining({ code: 'storage-failed' }) as Error,
    )
  })

  it('says which page request makes no sense', async () => {
    await expect(ledger.open().page({ limit: 0 })).rejects.toMatchObject({ code: 'invalid-input' })
  })

  it('does not show a damaged row to people', async () => {
    await ledger.fill(2)
    ledger.tamper('UPDATE entries SET tokens_in = 9007199254740993 WHERE sequence = 1')
    await expect(ledger.open().page({ limit: 5 })).rejects.toThrow(/entry 1 is malformed/)
  })
})

describe('the seal beside the database', () => {
  it('is written anew when a crash came before it', async () => {
    await ledger.fill(2)
    const behind = readFileSync(headPath(ledger.file))
    await ledger.fill(1)
    writeFileSync(headPath(ledger.file), behind)
    expect(await ledger.open().head()).toMatchObject({ sequence: 2 })
  })

  it('is written anew when it was lost', async () => {
    await ledger.fill(2)
    rmSync(headPath(ledger.file))
    expect(await ledger.open().head()).toMatchObject({ sequence: 1 })
  })

  it('is not replaced when it contradicts the entries', async () => {
    await ledger.fill(2)
    const text = readFileSync(headPath(ledger.file), 'utf8')
    const otherHash = text.replace(/"hash":"[0-9a-f]*"/, `"hash":"${'0'.repeat(64)}"`)
    for (const damaged of [otherHash, text.replace('"hash":"', '"hash":"z'), '', '{']) {
      writeFileSync(headPath(ledger.file), damaged)
      const problems: unknown[] = []
      const store = ledger.open({ onHeadProblem: (error) => problems.push(error) })
      expect(problems).toHaveLength(1)
      await expect(store.append(sessionRecord())).rejects.toMatchObject({ code: 'ledger-corrupt' })
      expect(readFileSync(headPath(ledger.file), 'utf8')).toBe(damaged)
    }
  })

  it('does not fail an append when it cannot be written: the entry is safe', async () => {
    const problems: unknown[] = []
    const store = ledger.open({ onHeadProblem: (error) => problems.push(error) })
    await store.append(sessionRecord())
    const behind = readFileSync(headPath(ledger.file))
    // A folder in the way of the partial file.
    mkdirSync(`${headPath(ledger.file)}.partial`)
    expect(await store.append(sessionRecord())).toMatchObject({ sequence: 1 })
    expect(problems).toHaveLength(1)
    expect(readFileSync(headPath(ledger.file))).toEqual(behind)
    expect(existsSync(ledger.file)).toBe(true)
  })
})
