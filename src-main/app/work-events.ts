/** Work that tells how far it is, as a stream of what it tells. */

/**
 * Yields what `work` tells, in order, and ends or fails as it does. When the reader leaves, or `signal` fires, the signal
 * that `work` was given is aborted.
 */
export async function* workEvents<Event>(
  work: (tell: (event: Event) => void, signal: AbortSignal) => Promise<void>,
  signal?: AbortSignal,
): AsyncGenerator<Event, void, undefined> {
  const left = new AbortController()
  const told: Event[] = []
  let wake = (): void => {}
  const tell = (event: Event): void => {
    told.push(event)
    wake()
  }
  const working = work(tell, signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]))
  const ended = working.then(
    () => true,
    () => true,
  )
  try {
    for (let isOver = false; !isOver; ) {
      const woken = new Promise<false>((resolve) => {
        wake = () => resolve(false)
      })
      if (told.length === 0) isOver = await Promise.race([ended, woken])
      yield* told.splice(0)
    }
    await working
  } finally {
    left.abort()
  }
}
