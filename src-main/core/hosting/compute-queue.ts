/**
 * One computation at a time, first come first served. Long work is cut into pieces that queue one by one, so that a short
 * step of another session goes in between instead of waiting for all of it.
 */

export interface ComputeQueue {
  /** Runs `work` when all that queued before is done. Throws the signal's reason when aborted while still waiting. */
  run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>
}

export function createComputeQueue(): ComputeQueue {
  const waiting = new Set<() => void>()
  let running = false

  function startNext(): void {
    const [next] = waiting
    running = next !== undefined
    if (next === undefined) return
    waiting.delete(next)
    next()
  }

  function turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        waiting.delete(start)
        reject(signal.reason)
      }
      waiting.add(start)
      signal.addEventListener('abort', leave, { once: true })
      if (!running) startNext()
    })
  }

  return {
    async run(work, signal) {
      signal.throwIfAborted()
      await turn(signal)
      try {
        return await work()
      } finally {
        startNext()
      }
    },
  }
}
