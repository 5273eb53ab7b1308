/**
 * A SQLite file of this app that is no ledger: opened with the settings durability and hostile files call for
 * (sqlite.org/security.html), checked, and brought to the schema this app knows.
 */
import Database from 'better-sqlite3'
import { CodedError } from '#contracts/errors.ts'
import { StorageError } from '#core/errors.ts'

export interface KeptDatabase {
  /** For people: `the list of patches`. */
  readonly name: string
  /** In the file's header, where `file(1)` and other tools see whose it is. */
  readonly applicationId: number
  /** Every step from an empty file to today's schema. Append only; the number of steps done is the file's `user_version`. */
  readonly migrations: readonly string[]
}

/** How long one process waits for another one's transaction before it gives up. */
const busyTimeoutMs = 5_000

/** Creates the file when there is none (its folder must exist). Throws `StorageError` also for a file of a later version. */
export function openKeptDatabase(file: string, kept: KeptDatabase): Database.Database {
  return naming(file, () => {
    const database = new Database(file, { timeout: busyTimeoutMs })
    try {
      for (const pragma of ['trusted_schema = OFF', 'cell_size_check = ON', 'foreign_keys = ON'])
        database.pragma(pragma)
      checkIntegrity(database, file, kept)
      migrate(database, file, kept)
      // Readers do not block the writer, and a commit is on the disk when it returns, on macOS too (`fullfsync`).
      for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'fullfsync = ON', 'checkpoint_fullfsync = ON'])
        database.pragma(pragma)
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
}

function checkIntegrity(database: Database.Database, file: string, { name }: KeptDatabase): void {
  const found = String(database.pragma('quick_check(1)', { simple: true }))
  if (found !== 'ok') throw new StorageError(file, `${name} is damaged: ${found}`)
}

/** Safe when two processes open the file at once: the version is looked at again under the write lock. */
function migrate(database: Database.Database, file: string, { applicationId, migrations }: KeptDatabase): void {
  const version = () => Number(database.pragma('user_version', { simple: true }))
  const id = Number(database.pragma('application_id', { simple: true }))
  if (version() > migrations.length) throw new StorageError(file, 'a later version of this app wrote it')
  if (version() > 0 && id !== applicationId) throw new StorageError(file, 'a database of another kind')
  if (version() === migrations.length) return
  const toToday = database.transaction(() => {
    for (const step of migrations.slice(version())) database.exec(step)
    database.pragma(`application_id = ${applicationId}`)
    database.pragma(`user_version = ${migrations.length}`)
  })
  toToday.immediate()
}

/** Runs `work` on the database `file`; what SQLite throws becomes a `StorageError`. */
export function naming<T>(file: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof CodedError) throw error
    throw new StorageError(file, error instanceof Error ? error.message : String(error), { cause: error })
  }
}
