/** The SQLite file of the library: which patches are here, their heads, tags, and whom the owner follows. Bytes are files. */
import type Database from 'better-sqlite3'
import { openKeptDatabase } from '../shared/kept-database.ts'

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

/** Creates the file when there is none (its folder must exist). Throws `StorageError` also for a file of a later version. */
export function openPatchesDatabase(file: string): Database.Database {
  return openKeptDatabase(file, { name: 'the list of patches', applicationId, migrations })
}
