/**
 * How a session, given or used, becomes one line of the ledger however it ends. While it lasts the journal has a note of
 * it, at most `journalPeriodMs` old; after a crash the next start turns the note into that line.
 */
import type { SessionOutcome, SessionRecord } from '#contracts/receipt/ledger-entry.ts'
import type { Clock } from '../ports/clock.ts'
import type { LedgerStore } from '../ports/ledger-store.ts'

const journalPeriodMs = 5000

export interface SessionEntry {
  /** Writes the first note. Rejects when the journal cannot be written: unrecorded work is not done. */
  begin(): Promise<void>
  /** Writes the note anew when it has grown old. */
  progressed(): void
  /** Writes the line, once: later calls get the first one's promise, whatever outcome they name. */
  end(outcome: SessionOutcome): Promise<void>
}

export interface SessionEntryComponents {
  readonly ledger: Pick<LedgerStore, 'append' | 'journal'>
  readonly clock: Clock
}

/** What is known of the session now, but for times and outcome. */
export type Described = Omit<SessionRecord, 'startedAtMs' | 'durationMs' | 'outcome'>

/** The session counts from this call on. */
export function createSessionEntry(components: SessionEntryComponents, facts: () => Described): SessionEntry {
  const { ledger, clock } = components
  const startedAtMs = Math.floor(clock.now())
  const openedAtMs = clock.monotonicMs()
  let journalledAtMs = openedAtMs
  let note: Promise<unknown> = Promise.resolve()
  let ended: Promise<void> | null = null

  function record(outcome: SessionOutcome): SessionRecord {
    return { ...facts(), startedAtMs, durationMs: Math.round(clock.monotonicMs() - openedAtMs), outcome }
  }

  /** Notes are written one after the other, and never after the entry: the entry would be made twice. */
  async function endOnce(outcome: SessionOutcome): Promise<void> {
    const last = record(outcome)
    await note
    await ledger.append(last)
  }

  return {
    begin: async () => await ledger.journal(record('failed')),
    progressed() {
      const now = clock.monotonicMs()
      if (ended !== null || now - journalledAtMs < journalPeriodMs) return
      journalledAtMs = now
      // A journal that fails here costs nothing unless this process crashes; a ledger that is broken says so at the end.
      note = note.then(() => ledger.journal(record('failed'))).catch(() => {})
    },
    end(outcome) {
      ended ??= endOnce(outcome)
      return ended
    },
  }
}
