/** One value that changes, and everybody who wants to hear of it; bursts of changes become one message. */

export interface Broadcast {
  /** Notes that something changed; listeners are told at most every `intervalMs`. */
  changed(): void
  /** Yields once at the beginning, then after every change, until aborted. A slow consumer skips what it missed. */
  changes(signal?: AbortSignal): AsyncGenerator<void, void, undefined>
  stop(): void
}

export function createBroadcast(init: { intervalMs: number }): Broadcast {
  const waiting = new Set<() => void>()
  let version = 0
  let stopped = false
  let timer: NodeJS.Timeout | null = null

  const tell = (): void => {
    version += 1
    for (const wake of waiting) wake()
    waiting.clear()
  }
  const untilNextVersion = (signal: AbortSignal | undefined): Promise<void> =>
    new Promise((resolve) => {
      const wake = () => {
        signal?.removeEventListener('abort', wake)
        waiting.delete(wake)
        resolve()
      }
      waiting.add(wake)
      signal?.addEventListener('abort', wake, { once: true })
    })

  return {
    changed() {
      if (stopped || timer !== null) return
      timer = setTimeout(() => {
        timer = null
        tell()
      }, init.intervalMs)
    },
    async *changes(signal) {
      let seen = -1
      while (!stopped && !(signal?.aborted ?? false)) {
        if (seen === version) await untilNextVersion(signal)
        if (stopped || (signal?.aborted ?? false)) return
        seen = version
        yield
      }
    },
    stop() {
      stopped = true
      if (timer !== null) clearTimeout(timer)
      tell()
    },
  }
}
