/** A pause that ends early when the page is looked at again, and that runs no timer while nobody looks. */
export function waitWhileVisible(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const stop = new AbortController()
    const hiddenAtStart = document.visibilityState === 'hidden'
    const timer = hiddenAtStart ? undefined : setTimeout(end, delayMs)
    function end(): void {
      clearTimeout(timer)
      stop.abort()
      resolve()
    }
    function lookAgain(): void {
      if (document.visibilityState === 'visible') end()
    }
    document.addEventListener('visibilitychange', lookAgain, { signal: stop.signal })
    signal.addEventListener('abort', end, { signal: stop.signal })
  })
}
