/**
 * When a worker that failed is started again: at once after a stumble, later and later when it goes on, and not at all
 * for a while when it fails every time, because it would only keep the machine from its owner.
 */
export interface RestartPolicy {
  readonly windowMs: number
  /** Failures within the window that are too many. */
  readonly limit: number
  /** Pause before the start after the second failure within the window; it doubles with each. */
  readonly firstPauseMs: number
}

export const restartPolicy: RestartPolicy = { windowMs: 10 * 60_000, limit: 5, firstPauseMs: 1_000 }

export type RestartDecision =
  | { readonly kind: 'start'; readonly afterMs: number }
  | { readonly kind: 'refuse'; readonly failures: number; readonly againInMs: number }

/** Pure. `failedAtMs`: ascending, on the same clock as `nowMs`. */
export function decideRestart(failedAtMs: readonly number[], nowMs: number, policy: RestartPolicy): RestartDecision {
  const recent = failedAtMs.filter((at) => nowMs - at < policy.windowMs)
  const last = recent.at(-1)
  if (last === undefined) return { kind: 'start', afterMs: 0 }
  if (recent.length >= policy.limit) {
    const freeing = recent.at(-policy.limit) as number
    return { kind: 'refuse', failures: recent.length, againInMs: freeing + policy.windowMs - nowMs }
  }
  const pauseMs = recent.length < 2 ? 0 : policy.firstPauseMs * 2 ** (recent.length - 2)
  return { kind: 'start', afterMs: Math.max(0, last + pauseMs - nowMs) }
}
