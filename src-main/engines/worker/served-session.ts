/**
 * A session in the worker, with what was asked of it waiting in line: the client gives up a call at once, and what it asks
 * next waits here until the engine has left the session. What the engine had finished all the same is forgotten, because
 * each request says how long the session is for the client.
 */
import type { SpanSession } from '#core/ports/engine.ts'

export interface ServedSession {
  /** Once it is open. */
  readonly opened: Promise<SpanSession>
  /** Null until it is open. */
  readonly current: SpanSession | null
  /** Resolves or rejects with the last of the work in line. */
  line: Promise<unknown>
}

export interface Placed {
  readonly served: ServedSession
  /** Positions the client counts. */
  readonly length: number
}

export function createServedSession(open: () => SpanSession | Promise<SpanSession>): ServedSession {
  let current: SpanSession | null = null
  const opened = (async () => {
    current = await open()
    return current
  })()
  // Whoever asks something of the session is told; when nobody does, nobody needs to know.
  opened.catch(() => {})
  return {
    opened,
    get current() {
      return current
    },
    line: opened,
  }
}

/** Does `work` once all of the sessions are free, at the lengths the client counts. */
export function inLine<T>(
  placed: readonly Placed[],
  work: (sessions: readonly SpanSession[]) => T | Promise<T>,
): Promise<T> {
  const before = Promise.allSettled(placed.map(({ served }) => served.line))
  const result = before.then(async () => {
    const sessions = await Promise.all(placed.map(({ served }) => served.opened))
    for (const [i, session] of sessions.entries()) forgetBeyond(session, placed[i]?.length ?? 0)
    return work(sessions)
  })
  result.catch(() => {})
  for (const { served } of placed) served.line = result
  return result
}

/** Once what was asked before is done: a call that the client does not wait for has been cancelled, a fork is wanted. */
export async function endInLine({ line, opened }: ServedSession): Promise<void> {
  await line.catch(() => {})
  await opened.then(
    (session) => session.dispose(),
    () => {},
  )
}

function forgetBeyond(session: SpanSession, length: number): void {
  if (session.length > length) session.truncate(length)
  if (session.length < length) throw new Error(`a session of ${session.length} positions, its client counts ${length}`)
}
