/** Time that stands still until a test moves it. */
import type { Clock } from '#core/ports/clock.ts'

export interface FakeClock extends Clock {
  advance(milliseconds: number): void
  /** Moves the wall clock alone, as setting the computer's time does. */
  jump(milliseconds: number): void
}

export function createFakeClock(init: { readonly nowMs?: number } = {}): FakeClock {
  let now = init.nowMs ?? 1_700_000_000_000
  let monotonic = 0
  return {
    now: () => now,
    monotonicMs: () => monotonic,
    advance(milliseconds) {
      if (milliseconds < 0) throw new RangeError('a clock only goes forward')
      now += milliseconds
      monotonic += milliseconds
    },
    jump(milliseconds) {
      now += milliseconds
    },
  }
}
