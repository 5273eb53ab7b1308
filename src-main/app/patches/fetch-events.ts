/** A fetch as a stream of events for whoever watches: progress at a pace that can be read, every drop, how it ended. */
import type { PatchFetchEvent } from '#contracts/api/patches.ts'
import type { FetchEvent } from '#core/exchange/fetch-patch.ts'
import { failureOf } from '../failure.ts'

const progressEveryMs = 100

/** `start` begins the fetch; it is told to stop when nobody listens any more. Never throws. */
export async function* fetchEvents(
  start: (options: { signal: AbortSignal; onEvent: (event: FetchEvent) => void }) => Promise<PatchFetchEvent>,
  callerSignal: AbortSignal | undefined,
): AsyncGenerator<PatchFetchEvent, void, undefined> {
  const stop = new AbortController()
  const signal = callerSignal ? AbortSignal.any([stop.signal, callerSignal]) : stop.signal
  const waiting: PatchFetchEvent[] = []
  let progress: PatchFetchEvent | null = null
  let wake: () => void = () => {}
  let ended = false

  const ending = start({
    signal,
    onEvent(event) {
      if (event.type === 'progress') progress = event
      else waiting.push(event)
      wake()
    },
  })
    .catch((error: unknown): PatchFetchEvent => ({ type: 'error', ...failureOf(error) }))
    .then((last) => {
      waiting.push(last)
      ended = true
      wake()
    })

  try {
    let nextProgressAtMs = 0
    while (true) {
      for (let event = waiting.shift(); event !== undefined; event = waiting.shift()) {
        yield event
        if (event.type === 'done' || event.type === 'error') return
      }
      const dueInMs = nextProgressAtMs - performance.now()
      if (progress !== null && (dueInMs <= 0 || ended)) {
        const latest = progress
        progress = null
        nextProgressAtMs = performance.now() + progressEveryMs
        yield latest
        continue
      }
      if (waiting.length > 0) continue
      await new Promise<void>((resolve) => {
        const timer = progress === null ? undefined : setTimeout(resolve, dueInMs)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  } finally {
    stop.abort()
    await ending
  }
}
