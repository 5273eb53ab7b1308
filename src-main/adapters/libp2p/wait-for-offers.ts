import type { SpanOffer } from '#core/ports/swarm.ts'

/** Resolves when `enough` says so or the time is over, with what is known then; rejects with the signal's reason. */
export function waitForOffers(
  known: () => readonly SpanOffer[],
  enough: (offers: readonly SpanOffer[]) => boolean,
  options: { listen: (listener: () => void) => () => void; timeoutMs: number; signal?: AbortSignal },
): Promise<readonly SpanOffer[]> {
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
