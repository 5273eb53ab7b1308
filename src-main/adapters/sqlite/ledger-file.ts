/** An open ledger: the database, its prepared statements, and the name used in errors. */
import type { Database } from 'better-sqlite3'
import { LedgerStorageError, ledgerErrorOf, naming } from './ledger-errors.ts'
import { openDatabase } from './open-database.ts'
import { prepareStatements, type Statements } from './statements.ts'

export interface LedgerFile {
  readonly path: string
  readonly database: Database
  readonly statements: Statements
  /** Runs `work` on the open database; names what it throws. */
  use<T>(work: () => T | Promise<T>): Promise<T>
}

export function openLedgerFile(path: string, peerId: string): LedgerFile {
  const database = openDatabase(path, peerId)
  return {
    path,
    database,
    statements: naming(path, () => prepareStatements(database)),
    async use(work) {
      if (!database.open) throw new LedgerStorageError(path, 'the ledger is closed')
      try {
        return await work()
      } catch (error) {
        throw ledgerErrorOf(path, error)
      }
    },
  }
}
