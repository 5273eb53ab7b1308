/** Tells listeners that something changed, at once and then at most once every `everyMs`. */
export interface ChangeSignal {
  changed(): void
  listen(listener: () => void): () => void
  stop(): void
}

export function createChangeSignal(everyMs: number): ChangeSignal {
  const listeners = new Set<() => void>()
  let timer: ReturnType<typeof setTimeout> | undefined
  let again = false

  function tell(): void {
    again = false
    timer = setTimeout(() => {
      timer = undefined
      if (again) tell()
    }, everyMs)
    timer.unref()
    for (const listener of [...listeners]) listener()
  }

  return {
    changed() {
      again = true
      if (timer === undefined) tell()
    },
    listen(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    stop() {
      clearTimeout(timer)
      listeners.clear()
    },
  }
}
