/** Brings a ledger file to the schema this app knows: backup first, then one transaction for each step. */
import { renameSync, rmSync } from 'node:fs'
import Database from 'better-sqlite3'
import { LedgerCorruptError, LedgerNewerError } from './ledger-errors.ts'
import { migrations as allMigrations, type Migration } from './migrations/index.ts'

/** 'Qbee': marks a SQLite file as ours in its header, where `file(1)` and other tools see it. */
export const applicationId = 0x51626565

/**
 * Throws `LedgerNewerError` for a file from a later app and `LedgerCorruptError` for a database that is not a ledger,
 * in both cases before anything is written. Safe when two processes open a file at once: the steps look again once they
 * hold the write lock.
 */
export function migrate(
  database: Database.Database,
  file: string,
  migrations: readonly Migration[] = allMigrations,
): void {
  const known = migrations.at(-1)?.number ?? 0
  const { found, id, tables } = identify(database)
  if (found > known) throw new LedgerNewerError(file, found, known)
  const isEmpty = found === 0 && id === 0 && tables === 0
  const isLedger = id === applicationId && migrations.some(({ number }) => number === found)
  if (!isEmpty && !isLedger) throw new LedgerCorruptError(file, 'a database of another kind')
  if (found === known) return
  if (found > 0) backUp(database, file, found)
  for (const migration of migrations) apply(database, migration)
}

/** Where the state before a migration is kept: replaced only by a later state of the same schema. */
export function backupPath(file: string, version: number): string {
  return `${file}.schema-${version}.backup`
}

function schemaVersion(database: Database.Database): number {
  return Number(database.pragma('user_version', { simple: true }))
}

/** Read in one transaction, so that another process creating the file at this moment is seen whole or not at all. */
function identify(database: Database.Database) {
  const read = database.transaction(() => ({
    found: schemaVersion(database),
    id: database.pragma('application_id', { simple: true }),
    tables: database.prepare('SELECT count(*) FROM sqlite_schema').pluck().get(),
  }))
  return read.deferred()
}

function apply(database: Database.Database, { number, up }: Migration): void {
  const step = database.transaction(() => {
    if (schemaVersion(database) >= number) return
    up(database)
    database.pragma(`application_id = ${applicationId}`)
    database.pragma(`user_version = ${number}`)
  })
  step.immediate()
}

/**
 * `VACUUM INTO` writes a whole, consistent copy of the committed state. When another process migrates at this moment, the
 * copy may be of the new schema; then that process has made the backup, and this copy is dropped.
 */
function backUp(database: Database.Database, file: string, version: number): void {
  const target = backupPath(file, version)
  const copy = `${target}.${process.pid}.partial`
  rmSync(copy, { force: true })
  database.prepare('VACUUM INTO ?').run(copy)
  const copied = new Database(copy)
  const good = copied.pragma('quick_check', { simple: true }) === 'ok'
  const copiedVersion = schemaVersion(copied)
  copied.close()
  if (!good) throw new LedgerCorruptError(copy, 'the backup before a migration cannot be read back')
  if (copiedVersion === version) renameSync(copy, target)
  else rmSync(copy, { force: true })
}
