/**
 * Adds entries. The newest entry is read, the next one chained and signed outside of any transaction; then, in one
 * transaction that holds the write lock: look whether the newest is still the newest, drop the session's note, insert.
 * When another process was faster, start over. So chains never fork, and no lock is held while a key signs.
 */
import { entryAfter, hashEntry, signingBytes } from '#contracts/receipt/entry-codec.ts'
import type { LedgerEntry, LedgerHead, SessionRecord, SignedLedgerEntry } from '#contracts/receipt/ledger-entry.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Identity } from '#core/ports/keys.ts'
import { readHead, writeHead } from './head-file.ts'
import { LedgerCorruptError, LedgerStorageError } from './ledger-errors.ts'
import type { LedgerFile } from './ledger-file.ts'
import { busyTimeoutMs } from './open-database.ts'
import { fromRow, toRow } from './rows.ts'

export interface Appender {
  append(record: SessionRecord): Promise<SignedLedgerEntry>
  /** Appends when the session's note is still there; false when another process has made the entry. */
  appendNoted(record: SessionRecord): Promise<boolean>
  /** Throws `LedgerCorruptError` when the file holds less than its seal says, or something else. */
  assertWhole(): void
  /** Writes the seal anew when a crash came between a commit and its seal. */
  catchUpSeal(): void
}

export interface AppenderInit {
  readonly identity: Identity
  readonly clock: Clock
  readonly onHeadProblem: (error: unknown) => void
}

export function createAppender(ledger: LedgerFile, { identity, clock, onHeadProblem }: AppenderInit): Appender {
  const { path, database, statements } = ledger

  function newest(): SignedLedgerEntry | null {
    const row = statements.newest.get()
    return row === undefined ? null : fromRow(row)
  }

  async function sign(previous: LedgerHead | null, record: SessionRecord): Promise<SignedLedgerEntry> {
    const entry = entryAfter(previous, record)
    const hash = hashEntry(entry)
    const signature = Uint8Array.from(await identity.sign(signingBytes(hash)))
    return { ...entry, hash, signature }
  }

  const isNext = (entry: LedgerEntry) => entry.sequence === (newest()?.sequence ?? -1) + 1
  const dropNote = (entry: LedgerEntry) => statements.dropNote.run(entry.kind, entry.sessionId).changes > 0

  const insert = database.transaction((entry: SignedLedgerEntry): SignedLedgerEntry | 'overtaken' => {
    if (!isNext(entry)) return 'overtaken'
    dropNote(entry)
    statements.insert.run(toRow(entry))
    return entry
  })

  const insertNoted = database.transaction((entry: SignedLedgerEntry): boolean | 'overtaken' => {
    if (!isNext(entry)) return 'overtaken'
    const isNoted = dropNote(entry)
    if (isNoted) statements.insert.run(toRow(entry))
    return isNoted
  })

  /** Under the write lock, so that of two processes the one that committed last also writes last. */
  const seal = database.transaction(() => {
    const head = newest()
    if (head !== null) writeHead(path, head)
  })

  /** The entry is safe by now: a seal that cannot be written must not look like an entry that was not. */
  function trySeal(): void {
    try {
      seal.immediate()
    } catch (error) {
      onHeadProblem(error)
    }
  }

  function assertWhole(): void {
    // The seal first: it is written after its entry, so entries read later can only be further on.
    const head = readHead(path)
    if (head === null) return
    const stored = statements.hashAt.get(head.sequence)
    if (stored === undefined) throw new LedgerCorruptError(path, `cut short before entry ${head.sequence}`)
    if (stored.toString('hex') !== head.hash) {
      throw new LedgerCorruptError(path, `entry ${head.sequence} is not the one that was sealed`)
    }
  }

  async function add<Result>(
    record: SessionRecord,
    insertion: (entry: SignedLedgerEntry) => Result | 'overtaken',
  ): Promise<Result> {
    const deadline = clock.monotonicMs() + busyTimeoutMs
    for (;;) {
      assertWhole()
      const result = insertion(await sign(newest(), record))
      if (result !== 'overtaken') {
        trySeal()
        return result
      }
      if (clock.monotonicMs() > deadline) throw new LedgerStorageError(path, 'other processes kept adding entries')
    }
  }

  return {
    append: (record) => add(record, insert.immediate),
    appendNoted: (record) => add(record, insertNoted.immediate),
    assertWhole,

    catchUpSeal() {
      try {
        assertWhole()
        if (readHead(path)?.sequence !== newest()?.sequence) seal.immediate()
      } catch (error) {
        onHeadProblem(error)
      }
    },
  }
}
