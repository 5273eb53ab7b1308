/** How keeping the ledger fails. Whatever is thrown, the file has been neither deleted nor overwritten. */
import Database from 'better-sqlite3'
import { CodedError } from '#contracts/errors.ts'

type Options = { cause?: unknown }

/** The ledger's file is damaged, cut short, or not this node's ledger. */
export class LedgerCorruptError extends CodedError {
  constructor(file: string, what: string, options?: Options) {
    super('ledger-corrupt', `${file}: ${what}`, { file, what }, options)
  }
}

/** A later version of the app wrote the file; this one would not understand, or would harm, what is in it. */
export class LedgerNewerError extends CodedError {
  constructor(file: string, found: number, known: number) {
    super('ledger-newer', `${file}: written by schema ${found}, this app knows ${known}`, { file, found, known })
  }
}

/** The disk is full, read-only, failing, or held by another process for too long. */
export class LedgerStorageError extends CodedError {
  constructor(file: string, what: string, options?: Options) {
    super('storage-failed', `${file}: ${what}`, { file, what }, options)
  }
}

/**
 * SQLite's result codes (sqlite.org/rescode.html) that speak of the file's content rather than of the storage. The plain
 * `SQLITE_ERROR` is among them: our statements fit our schema, so one that does not fit has met a damaged schema.
 */
const corruptCodes = /^SQLITE_(CORRUPT|NOTADB|FORMAT|ERROR)/

/** Names what SQLite or the file system threw; an error that has a name already stays as it is. */
export function ledgerErrorOf(file: string, error: unknown): unknown {
  if (error instanceof CodedError) return error
  if (error instanceof Database.SqliteError) {
    if (corruptCodes.test(error.code)) return new LedgerCorruptError(file, error.message, { cause: error })
    return new LedgerStorageError(file, `${error.message} (${error.code})`, { cause: error })
  }
  if (error instanceof Error && 'syscall' in error) return new LedgerStorageError(file, error.message, { cause: error })
  return error
}

/** Runs `work`, naming what it throws. */
export function naming<T>(file: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw ledgerErrorOf(file, error)
  }
}
