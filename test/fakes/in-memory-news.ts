/** Waiting for what changes: the small pieces of which the in-memory node's streams are made. */

export type News = {
  tell(): void
  /** At once, and again after every change, until the reader goes away; changes it was too slow for count as one. */
  changes(signal: AbortSignal | undefined): AsyncGenerator<void, void, undefined>
}

export function createNews(): News {
  const waiting = new Set<() => void>()
  let version = 0
  return {
    tell() {
      version += 1
      for (const wake of waiting) wake()
      waiting.clear()
    },
    async *changes(signal) {
      let seen = -1
      while (signal?.aborted !== true) {
        if (seen === version) {
          await new Promise<void>((resolve) => {
            waiting.add(resolve)
            signal?.addEventListener('abort', () => resolve(), { once: true })
          })
          continue
        }
        seen = version
        yield
      }
    },
  }
}

export function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds)
    signal?.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        reject(signal.reason)
      },
      { once: true },
    )
  })
}
