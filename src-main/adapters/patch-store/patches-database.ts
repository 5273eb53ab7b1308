/** The SQLite file of the library: which patches are here, their heads, tags, and whom the owner follows. Bytes are files. */
import Database from 'better-sqlite3'
import { CodedError } from '#contracts/errors.ts'
import { StorageError } from '#core/errors.ts'

/** Every step from an empty file to today's schema. Append only; the number of steps done is the file's `user_version`. */
export const migrations: readonly string[] = [
  `CREATE TABLE patches (
     number INTEGER PRIMARY KEY AUTOINCREMENT,
     digest TEXT NOT NULL UNIQUE CHECK (length(digest) = 64),
     -- Preamble, header and signature, as they stand in the file.
     head BLOB NOT NULL,
     base TEXT NOT NULL CHECK (length(base) = 64),
     size_bytes INTEGER NOT NULL CHECK (size_bytes >= length(head)),
     -- Of the mask whose indices the file itself has.
     mask TEXT CHECK (length(mask) = 64),
     origin TEXT NOT NULL CHECK (origin IN ('mine', 'fetched', 'imported')),
     complete INTEGER NOT NULL CHECK (complete IN (0, 1)),
     shared INTEGER NOT NULL CHECK (shared IN (0, 1)),
     added_at_ms INTEGER NOT NULL CHECK (added_at_ms >= 0)
   ) STRICT;

   CREATE INDEX patches_by_base ON patches (base);
   CREATE INDEX patches_by_mask ON patches (mask) WHERE mask IS NOT NULL;

   CREATE TABLE tags (
     tag TEXT PRIMARY KEY,
     digest TEXT NOT NULL REFERENCES patches (digest) ON DELETE CASCADE
   ) STRICT, WITHOUT ROWID;

   CREATE INDEX tags_by_digest ON tags (digest);

   CREATE TABLE follows (
     peer_id TEXT PRIMARY KEY,
     name TEXT NOT NULL
   ) STRICT, WITHOUT ROWID;`,
]

/** 'Qpat', in the file's header, where `file(1)` and other tools see whose it is. */
export const applicationId = 0x51706174

/** How long one process waits for another one's transaction before it gives up. */
const busyTimeoutMs = 5_000

/** Creates the file when there is none (its folder must exist). Throws `StorageError` also for a file of a later version. */
export function openPatchesDatabase(file: string): Database.Database {
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
  if (found !== 'ok') throw new StorageError(file, `the list of patches is damaged: ${found}`)
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
