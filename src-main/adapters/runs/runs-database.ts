/** The SQLite file of the runs: what each was to do, how far it got, and its curve. Checkpoints are files beside it. */
import type Database from 'better-sqlite3'
import { RunNotFoundError } from '#core/errors.ts'
import { openKeptDatabase } from '../shared/kept-database.ts'

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

/** Creates the file when there is none (its folder must exist). Throws `StorageError` also for a file of a later version. */
export function openRunsDatabase(file: string): Database.Database {
  return openKeptDatabase(file, { name: 'the list of runs', applicationId, migrations })
}

/** Throws `RunNotFoundError` unless a statement about the run `id` changed something. */
export function mustChange(id: string, { changes }: Database.RunResult): void {
  if (changes === 0) throw new RunNotFoundError(id)
}
