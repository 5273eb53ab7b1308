/** The real hands behind `Timers`. */
import type { Timers } from './electron-parts.ts'

export const systemTimers: Timers = {
  monotonicMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    return () => clearTimeout(timer)
  },
}
