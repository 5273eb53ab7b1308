/** Time, as the core sees it; tests drive it by hand. */
export interface Clock {
  /** Milliseconds since the Unix epoch, for records that people read. May jump. */
  now(): number
  /** Milliseconds that only ever go forward, for durations and expiry. */
  monotonicMs(): number
}
