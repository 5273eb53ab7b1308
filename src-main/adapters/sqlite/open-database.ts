/** Opens the ledger's SQLite file with the settings durability and hostile files call for (sqlite.org/security.html). */
import Database from 'better-sqlite3'
import { LedgerCorruptError, naming } from './ledger-errors.ts'
import { migrate } from './migrate.ts'

/** How long one process waits for another one's transaction before it gives up. */
export const busyTimeoutMs = 5000

/**
 * Creates the file when there is none (its folder must exist). Throws `LedgerCorruptError`, `LedgerNewerError` or
 * `LedgerStorageError`.
 */
export function openDatabase(file: string, peerId: string): Database.Database {
  return naming(file, () => {
    const database = new Database(file, { timeout: busyTimeoutMs })
    try {
      harden(database)
      checkIntegrity(database, file)
      migrate(database, file)
      checkSchema(database, file)
      makeDurable(database)
      claim(database, file, peerId)
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
}

function harden(database: Database.Database): void {
  database.pragma('trusted_schema = OFF')
  database.pragma('cell_size_check = ON')
  database.pragma('recursive_triggers = ON')
  database.pragma('foreign_keys = ON')
}

function checkIntegrity(database: Database.Database, file: string): void {
  const found = String(database.pragma('integrity_check(1)', { simple: true }))
  if (found !== 'ok') throw new LedgerCorruptError(file, found)
}

/** Tables, indices and triggers must be those the migrations make: a missing trigger or an altered check is damage too. */
function checkSchema(database: Database.Database, file: string): void {
  const fresh = new Database(':memory:')
  migrate(fresh, ':memory:')
  const expected = schemaOf(fresh)
  fresh.close()
  if (schemaOf(database) !== expected) throw new LedgerCorruptError(file, 'its schema is not the one this app made')
}

/** Without the statistics that `PRAGMA optimize` keeps. */
function schemaOf(database: Database.Database): string {
  const objects = database
    .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name")
    .raw()
    .all()
  return JSON.stringify(objects)
}

/** Readers do not block the writer, and a commit is on the disk when it returns, on macOS too (`fullfsync`). */
function makeDurable(database: Database.Database): void {
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = FULL')
  database.pragma('fullfsync = ON')
  database.pragma('checkpoint_fullfsync = ON')
}

/** A ledger is signed by one key: the first to open it owns it. */
function claim(database: Database.Database, file: string, peerId: string): void {
  database.prepare('INSERT INTO ledger (only_row, peer_id) VALUES (1, ?) ON CONFLICT DO NOTHING').run(peerId)
  const owner = database.prepare('SELECT peer_id FROM ledger').pluck().get()
  if (owner !== peerId) throw new LedgerCorruptError(file, `the ledger of ${owner}, not of this node (${peerId})`)
}
