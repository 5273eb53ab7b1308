/**
 * A batch is refused as a whole or run as a whole. The order is fixed so that all engines answer alike: whose sessions
 * they are and whether they are idle, then the rows, then whether they fit.
 */
import { ContextTooLongError } from '#core/errors.ts'
import type { ForwardStep, SpanSession } from '#core/ports/engine.ts'
import { checkIdle, type SessionState } from './check-session.ts'
import { EngineMisuseError } from './misuse.ts'
import { countRows } from './rows.ts'

/** An engine's own session for the port's; undefined for one that it, or this runner, did not open. */
export type FindSession<S extends SessionState> = (session: SpanSession) => S | undefined

export interface CheckedStep<S extends SessionState> {
  readonly session: S
  readonly hidden: Float32Array
  readonly tokens: number
}

/**
 * Throws `EngineMisuseError` for sessions that are another runner's, disposed, busy, named twice or of different spans;
 * `RangeError` for what is not whole rows; `ContextTooLongError` past a session's `maxLength`.
 */
export function checkSteps<S extends SessionState>(
  steps: readonly ForwardStep[],
  find: FindSession<S>,
  hiddenSize: number,
): readonly CheckedStep<S>[] {
  const sessions = steps.map(({ session }) => checkOwn(session, find))
  checkTogether(sessions)
  return steps.map(({ hidden }, i) => {
    const session = sessions[i] as S
    const tokens = countRows(hidden, hiddenSize)
    checkRoom(session, tokens)
    return { session, hidden, tokens }
  })
}

/** Throws `EngineMisuseError` unless the session is one of the runner's and idle. */
export function checkOwn<S extends SessionState>(session: SpanSession, find: FindSession<S>): S {
  const own = find(session)
  if (own === undefined) throw new EngineMisuseError('the session is of another runner')
  checkIdle(own)
  return own
}

function checkTogether(sessions: readonly SessionState[]): void {
  if (new Set(sessions).size < sessions.length) throw new EngineMisuseError('a session is in the batch twice')
  const [first] = sessions
  for (const { span } of sessions) {
    if (span.start === first?.span.start && span.end === first.span.end) continue
    throw new EngineMisuseError('sessions of one batch run the same blocks')
  }
}

function checkRoom({ length, maxLength }: SessionState, tokens: number): void {
  if (length + tokens > maxLength) throw new ContextTooLongError(length + tokens, maxLength)
}
