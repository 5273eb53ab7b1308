/** At most so many at once for each key; others wait, in their order. */
export interface Turns {
  /** -> what to call when the turn is over. Throws the signal's reason. */
  take(key: string, signal?: AbortSignal): Promise<() => void>
}

interface Line {
  active: number
  readonly waiting: Set<() => void>
}

export function createTurns(maximum: number): Turns {
  const lines = new Map<string, Line>()

  function over(key: string, line: Line): void {
    const [next] = line.waiting
    // The turn is handed on to who waits.
    if (next !== undefined) next()
    else line.active -= 1
    if (line.active === 0) lines.delete(key)
  }

  return {
    async take(key, signal) {
      const line = lines.get(key) ?? { active: 0, waiting: new Set() }
      lines.set(key, line)
      if (line.active < maximum) line.active += 1
      else await untilCalled(line.waiting, signal)
      let isOver = false
      return () => {
        if (!isOver) over(key, line)
        isOver = true
      }
    },
  }
}

function untilCalled(waiting: Set<() => void>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      waiting.delete(called)
      signal?.removeEventListener('abort', aborted)
    }
    const called = () => {
      leave()
      resolve()
    }
    const aborted = () => {
      leave()
      reject(signal?.reason)
    }
    if (signal?.aborted) return reject(signal.reason)
    waiting.add(called)
    signal?.addEventListener('abort', aborted, { once: true })
  })
}
