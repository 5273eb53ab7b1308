/**
 * Notes of sessions under way. Each carries its writer's process (`processes.ts`), so that after a crash the next process
 * to start turns the dead one's notes into entries, and leaves those of a process that is still running: `generate` and
 * `up` may share a ledger.
 */
import { type SessionRecord, sessionRecordSchema } from '#contracts/receipt/ledger-entry.ts'
import type { Appender } from './appender.ts'
import type { LedgerFile } from './ledger-file.ts'
import type { Processes } from './processes.ts'
import type { Row } from './rows.ts'

export interface SessionNotes {
  write(record: SessionRecord): void
  recover(): Promise<number>
}

export function createSessionNotes(
  { statements }: LedgerFile,
  { appender, processes }: { appender: Appender; processes: Processes },
): SessionNotes {
  const isAbandoned = (row: Row) =>
    !processes.isAlive({ pid: Number(row['owner_pid']), start: String(row['owner_start']) })

  return {
    write(record) {
      statements.note.run({
        kind: record.kind,
        session_id: record.sessionId,
        record: JSON.stringify(record),
        owner_pid: processes.self.pid,
        owner_start: processes.self.start,
        started_at_ms: record.startedAtMs,
      })
    },

    async recover() {
      appender.assertWhole()
      let recovered = 0
      for (const row of statements.notes.all().filter(isAbandoned)) {
        const record = recordOf(row)
        if (record === null) continue
        if (await appender.appendNoted({ ...record, outcome: 'failed' })) recovered += 1
      }
      return recovered
    },
  }
}

/** Null for a note that was damaged on the disk: it cannot become an entry, and stays for whoever looks into it. */
function recordOf(row: Row): SessionRecord | null {
  try {
    return sessionRecordSchema.parse(JSON.parse(String(row['record'])))
  } catch {
    return null
  }
}
