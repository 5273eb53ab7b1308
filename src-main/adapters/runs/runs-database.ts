/** The SQLite file of the runs: what each was to do, how far it got, and its curve. Checkpoints are files beside it. */
import Database from 'better-sqlite3'
import { CodedError } from '#contracts/errors.ts'
import { RunNotFoundError, StorageError } from '#core/errors.ts'

/** Every step from an empty file to today's schema. Append only; the number of steps done is the file's `user_version`. */
const migrations: readonly string[] = [
  `CREATE TABLE runs (
     number INTEGER PRIMARY KEY AUTOINCREMENT,
     id TEXT NOT NULL UNIQUE,
     plan TEXT NOT NULL,
     state TEXT NOT NULL,
     progress TEXT NOT NULL,
     probes TEXT NOT NULL,
     result TEXT NOT NULL,
     seconds REAL NOT NULL CHECK (seconds >= 0)
   ) STRICT;

   CREATE TABLE points (
     run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
     step INTEGER NOT NULL CHECK (step >= 0),
     train REAL,
     held_out REAL,
     learning_rate REAL,
     PRIMARY KEY (run, step)
   ) STRICT, WITHOUT ROWID;`,
]

/** 'Qrun', in the file's header, where `file(1)` and other tools see whose it is. */
const applicationId = 0x5172756e

/** How long one process waits for another one's transaction before it gives up. */
const busyTimeoutMs = 5_000

/** Creates the file when there is none (its folder must exist). Throws `StorageError` also for a file of a later version. */
export function openRunsDatabase(file: string): Database.Database {
  return naming(file, () => {
    const database = new Database(file, { timeout: busyTimeoutMs })
    try {
      for (const pragma of ['trusted_schema = OFF', 'cell_size_check = ON', 'foreign_keys = ON'])
        database.pragma(pragma)
      checkIntegrity(database, file)
      migrate(database, file)
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

function checkIntegrity(database: Database.Database, file: string): void {
  const found = String(database.pragma('quick_check(1)', { simple: true }))
  if (found !== 'ok') throw new StorageError(file, `the list of runs is damaged: ${found}`)
}

/** Safe when two processes open the file at once: the version is looked at again under the write lock. */
function migrate(database: Database.Database, file: string): void {
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

/** Throws `RunNotFoundError` unless a statement about the run `id` changed something. */
export function mustChange(id: string, { changes }: Database.RunResult): void {
  if (changes === 0) throw new RunNotFoundError(id)
}
