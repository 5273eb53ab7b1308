/**
 * One node a profile. The lock is an open exclusive transaction on a database file of its own: the operating system lets
 * go of it when the process ends, however it ends, so no stale lock is ever left to clean up.
 */
import Database from 'better-sqlite3'
import { CodedError } from '#contracts/errors.ts'

export interface ProfileLock {
  release(): void
}

/** Keeps held locks from the garbage collector, which would close the database and let go of the lock. */
const heldLocks = new Set<Database.Database>()

/** Throws `profile-locked` when another process holds the profile. */
export function acquireProfileLock(file: string, profile: string): ProfileLock {
  const database = new Database(file, { timeout: 0 })
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    throw new CodedError('profile-locked', `a node runs on profile ${profile} already`, { profile }, { cause })
  }
  heldLocks.add(database)
  return {
    release() {
      heldLocks.delete(database)
      database.close()
    },
  }
}
