/** Resolves when `enough` says so or the time is over, with what is known then; rejects with the signal's reason. */
export function waitForOffers<Offer>(
  known: () => readonly Offer[],
  enough: (offers: readonly Offer[]) => boolean,
  options: { listen: (listener: () => void) => () => void; timeoutMs: number; signal?: AbortSignal },
): Promise<readonly Offer[]> {
  const { signal } = options
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      forget()
      signal?.removeEventListener('abort', aborted)
    }
    const finish = () => {
      stop()
      resolve(known())
    }
    const aborted = () => {
      stop()
      reject(signal?.reason)
    }
    const forget = options.listen(() => {
      if (enough(known())) finish()
    })
    const timer = setTimeout(finish, options.timeoutMs)
    signal?.addEventListener('abort', aborted, { once: true })
    if (enough(known())) finish()
  })
}
