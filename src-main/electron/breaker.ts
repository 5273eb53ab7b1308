/** Counts failures within a sliding window, to tell a stumble from something that fails every time. */
export interface Breaker {
  /** Notes a failure at `nowMs`; returns how many there were within the window, this one included. */
  record(nowMs: number): number
  reset(): void
}

export function createBreaker(windowMs: number): Breaker {
  let failures: number[] = []
  return {
    record(nowMs) {
      failures = [...failures.filter((at) => nowMs - at < windowMs), nowMs]
      return failures.length
    },
    reset() {
      failures = []
    },
  }
}
