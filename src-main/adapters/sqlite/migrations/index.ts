/**
 * Every step from an empty file to today's schema, in order. Append only: a released step never changes. Numbers go up by
 * ten; the last one applied is the file's `user_version`.
 */
import type { Database } from 'better-sqlite3'
import * as entriesAndSessionNotes from './0010-entries-and-session-notes.ts'

export interface Migration {
  readonly number: number
  up(database: Database): void
}

export const migrations: readonly Migration[] = inOrder([entriesAndSessionNotes])

/** `steps`, when they are numbered 10, 20, 30 …; throws otherwise, so that a wrong list never starts. */
export function inOrder(steps: readonly Migration[]): readonly Migration[] {
  steps.forEach(({ number }, index) => {
    if (number !== (index + 1) * 10) throw new Error(`migration ${number} stands where ${(index + 1) * 10} belongs`)
  })
  return steps
}
