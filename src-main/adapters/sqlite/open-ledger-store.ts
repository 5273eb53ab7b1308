/** The ledger in SQLite: one file, its seal beside it, open in as many processes as need it. */
import type * as z from 'zod'
import { InvalidInputError } from '#contracts/errors.ts'
import { sessionRecordSchema } from '#contracts/receipt/ledger-entry.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Identity } from '#core/ports/keys.ts'
import type { LedgerStore } from '#core/ports/ledger-store.ts'
import { createSerialQueue } from '#core/serial-queue.ts'
import { createAppender } from './appender.ts'
import { readHead } from './head-file.ts'
import { type LedgerFile, openLedgerFile } from './ledger-file.ts'
import { createProcesses, type Processes } from './processes.ts'
import { pageOptionsSchema, readAll, readPage, readTotals } from './reader.ts'
import { createSessionNotes } from './session-notes.ts'

export interface LedgerStoreInit {
  /** Path of the database; its folder must exist. */
  readonly file: string
  readonly identity: Identity
  readonly clock: Clock
  readonly processes?: Processes
  /** Told when the seal beside the database could not be read or renewed; the entries themselves are safe then. */
  readonly onHeadProblem?: (error: unknown) => void
}

/**
 * Creates the file when there is none. It and every method throw `LedgerCorruptError`, `LedgerNewerError` or
 * `LedgerStorageError`; `append` and `journal` also `InvalidInputError`. Nothing is appended to a ledger that holds less
 * than its seal says: the loss would become invisible.
 */
export function openLedgerStore(init: LedgerStoreInit): LedgerStore {
  const { file, identity, clock, processes = createProcesses(), onHeadProblem = () => undefined } = init
  const ledger = openLedgerFile(file, identity.peerId)
  const appender = createAppender(ledger, { identity, clock, onHeadProblem })
  const notes = createSessionNotes(ledger, { appender, processes })
  const queue = createSerialQueue()
  const write = <T>(work: () => T | Promise<T>) => queue.add(() => ledger.use(work))
  appender.catchUpSeal()

  return {
    append: (record) => write(() => appender.append(parse(sessionRecordSchema, record))),
    journal: (record) => write(() => notes.write(parse(sessionRecordSchema, record))),
    recover: () => write(() => notes.recover()),
    page: (options) => ledger.use(() => readPage(ledger, parse(pageOptionsSchema, options))),
    totals: (sinceMs) => ledger.use(() => readTotals(ledger, sinceMs)),
    count: () => ledger.use(() => ledger.statements.count.get() ?? 0),
    head: () => ledger.use(() => readHead(file)),
    entries: () => readAll(ledger),
    close: () => queue.add(() => close(ledger)),
  }
}

/** Idempotent. Leaves one file, without a write-ahead log, unless another process still uses it. */
function close({ database }: LedgerFile): void {
  if (!database.open) return
  try {
    database.pragma('optimize')
    database.pragma('wal_checkpoint(TRUNCATE)')
  } catch {
    // Tidying up only: every entry is durable already.
  } finally {
    database.close()
  }
}

function parse<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new InvalidInputError(issue?.path.join('.') ?? '', issue?.message ?? '', { cause: parsed.error })
}
