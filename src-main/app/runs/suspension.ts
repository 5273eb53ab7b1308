/**
 * The piece of work that is under way when serving begins. Its worker stands still until serving is over, so that whoever
 * is served has the machine at once and not after the piece; the gate (`gate.ts`) lets no other begin. Where workers cannot
 * be held still (threads, Windows) the gate is all there is.
 */
import type { Clock } from '#core/ports/clock.ts'
import type { Activity } from './activity.ts'

/** What holds a worker still from outside. Both are idempotent, and do nothing while there is no worker. */
export interface Suspender {
  suspend(): void
  resume(): void
}

export interface Suspension extends Disposable {
  /** Its monotonic time stands still with the work: what was suspended took no longer. */
  readonly clock: Clock
  /** -> stops it */
  onChange(listener: (isSuspended: boolean) => void): () => void
}

export interface SuspensionComponents {
  readonly clock: Clock
  readonly serving: Pick<Activity, 'onChange'>
  readonly suspender: Suspender
}

export function createSuspension({ clock, serving, suspender }: SuspensionComponents): Suspension {
  const listeners = new Set<(isSuspended: boolean) => void>()
  let suspendedSinceMs: number | null = null
  let suspendedMs = 0

  function change(isSuspended: boolean): void {
    if (isSuspended === (suspendedSinceMs !== null)) return
    const nowMs = clock.monotonicMs()
    if (isSuspended) suspender.suspend()
    else suspender.resume()
    suspendedMs += nowMs - (suspendedSinceMs ?? nowMs)
    suspendedSinceMs = isSuspended ? nowMs : null
    for (const listener of [...listeners]) listener(isSuspended)
  }

  const stop = serving.onChange(change)
  return {
    clock: { now: () => clock.now(), monotonicMs: () => (suspendedSinceMs ?? clock.monotonicMs()) - suspendedMs },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    [Symbol.dispose]() {
      stop()
      change(false)
    },
  }
}
