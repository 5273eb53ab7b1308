/**
 * Who is being waited for. Serving is work in short bursts with somebody at the other end: what may wait (training) stands
 * back while there was some in the last moment, so that the next burst finds the machine free.
 */
import type { Clock } from '#core/ports/clock.ts'
import type { SpanRunner, SpanSession } from '#core/ports/engine.ts'

export interface Activity {
  /** Whether work is being done, or was a moment ago. */
  active(): boolean
  /** Work is about to come: active from now on, for a moment at least. */
  announce(): void
  /** Counts `work` as activity until it settles. */
  during<T>(work: () => Promise<T>): Promise<T>
  /** `listener` hears at once when it becomes active, and within a moment when it is over. -> stops it */
  onChange(listener: (active: boolean) => void): () => void
}

/** Longer than from one token of a session to its next, over a network too. */
export const usualQuietMs = 300

export function createActivity(
  components: { readonly clock: Clock },
  init: { readonly quietMs?: number } = {},
): Activity {
  const { clock } = components
  const quietMs = init.quietMs ?? usualQuietMs
  const listeners = new Set<(active: boolean) => void>()
  let underWay = 0
  let endedAtMs = Number.NEGATIVE_INFINITY
  let toldActive = false

  const quietInMs = () => (underWay > 0 ? quietMs : Math.max(0, endedAtMs + quietMs - clock.monotonicMs()))

  function tell(active: boolean): void {
    toldActive = active
    for (const listener of [...listeners]) listener(active)
  }

  /** One look for as long as work goes on: a token costs no timer of its own. */
  function lookIn(ms: number): void {
    setTimeout(() => {
      const againInMs = quietInMs()
      if (againInMs > 0) lookIn(againInMs)
      else tell(false)
    }, ms).unref()
  }

  function becomeActive(): void {
    if (toldActive) return
    tell(true)
    lookIn(quietMs)
  }

  return {
    active: () => quietInMs() > 0,
    announce() {
      endedAtMs = clock.monotonicMs()
      becomeActive()
    },
    async during(work) {
      underWay += 1
      becomeActive()
      try {
        return await work()
      } finally {
        underWay -= 1
        endedAtMs = clock.monotonicMs()
      }
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/** The same blocks; whatever is computed with them counts as activity, which a session's opening announces. */
export function noteForwards(runner: SpanRunner, activity: Activity): SpanRunner {
  /** Sessions as the runner knows them, by what callers hold. */
  const inner = new WeakMap<SpanSession, SpanSession>()

  function noted(session: SpanSession): SpanSession {
    const outer: SpanSession = {
      get span() {
        return session.span
      },
      get length() {
        return session.length
      },
      get maxLength() {
        return session.maxLength
      },
      get cacheBytes() {
        return session.cacheBytes
      },
      forward: (hidden, options) => activity.during(() => session.forward(hidden, options)),
      truncate: (length) => session.truncate(length),
      fork: (length) => noted(session.fork(length)),
      exportCache: () => session.exportCache(),
      importCache: (cache) => session.importCache(cache),
      dispose: () => session.dispose(),
    }
    inner.set(outer, session)
    return outer
  }
  const known = (session: SpanSession) => inner.get(session) ?? session

  return {
    get span() {
      return runner.span
    },
    get numericsClass() {
      return runner.numericsClass
    },
    get weightBytes() {
      return runner.weightBytes
    },
    openSession(init) {
      activity.announce()
      return noted(runner.openSession(init))
    },
    forward: (steps, options) =>
      activity.during(() =>
        runner.forward(
          steps.map((step) => ({ ...step, session: known(step.session) })),
          options,
        ),
      ),
    backward: (request, options) => {
      const { after, ...rest } = request
      return activity.during(() => runner.backward(after ? { ...rest, after: known(after) } : rest, options))
    },
    loadPatch: (patch) => runner.loadPatch(patch),
    dispose: () => runner.dispose(),
  }
}
