/**
 * One fetch a patch, however many want it: the owner at the screen, and sessions of peers. Whoever comes later joins; the
 * fetch ends early when nobody wants it any more.
 */
import type { Digest } from '#contracts/digest.ts'
import { WrongBaseError } from '#contracts/patch-file/errors.ts'
import { QuotaExceededError } from '../errors.ts'
import type { KeptPatch } from '../ports/patch-library.ts'
import { type FetchComponents, type FetchEvent, type FetchOptions, fetchPatch } from './fetch-patch.ts'

export interface PatchFetcher {
  /** As `fetchPatch`. What was fetched is offered to others from then on. */
  fetch(digest: Digest, options?: FetchOptions): Promise<KeptPatch>
}

interface Flight {
  readonly result: Promise<KeptPatch>
  readonly abort: AbortController
  readonly listeners: Set<(event: FetchEvent) => void>
  wanted: number
  last: FetchEvent | null
}

export function createPatchFetcher(components: FetchComponents): PatchFetcher {
  const { library, exchange } = components
  const flights = new Map<Digest, Flight>()

  async function fetchAndOffer(digest: Digest, options: FetchOptions): Promise<KeptPatch> {
    const before = await library.list({ complete: true })
    const fetched = await fetchPatch(components, digest, options)
    if (before.some((patch) => patch.digest === digest)) return fetched
    const offered = await library.setShared(digest, true)
    exchange.offersChanged()
    return offered
  }

  function take(digest: Digest, { signal: _signal, onEvent: _onEvent, ...limits }: FetchOptions): Flight {
    const abort = new AbortController()
    const listeners = new Set<(event: FetchEvent) => void>()
    const flight: Flight = {
      abort,
      listeners,
      wanted: 0,
      last: null,
      result: fetchAndOffer(digest, {
        ...limits,
        signal: abort.signal,
        onEvent(event) {
          flight.last = event
          for (const listener of listeners) listener(event)
        },
      }).finally(() => {
        if (flights.get(digest) === flight) flights.delete(digest)
      }),
    }
    flight.result.catch(() => {})
    flights.set(digest, flight)
    return flight
  }

  async function join(flight: Flight, { signal, onEvent }: FetchOptions): Promise<KeptPatch> {
    if (onEvent) flight.listeners.add(onEvent)
    if (onEvent && flight.last) onEvent(flight.last)
    flight.wanted += 1
    try {
      return await unlessAborted(flight.result, signal)
    } finally {
      if (onEvent) flight.listeners.delete(onEvent)
      flight.wanted -= 1
      if (flight.wanted === 0) flight.abort.abort(signal?.reason)
    }
  }

  const fetch: PatchFetcher['fetch'] = async (digest, options = {}) => {
    options.signal?.throwIfAborted()
    const known = flights.get(digest)
    if (known?.abort.signal.aborted) {
      // Nobody wanted it any more a moment ago: it lets go of what it holds first.
      await known.result.catch(() => {})
      return await fetch(digest, options)
    }
    if (known === undefined) return await join(take(digest, options), options)
    const patch = await join(known, options)
    // The fetch that was joined had limits of its own.
    const { base, maximumBytes = Number.POSITIVE_INFINITY } = options
    if (base !== undefined && patch.header.base.digest !== base) {
      throw new WrongBaseError(base, patch.header.base.digest)
    }
    if (patch.sizeBytes > maximumBytes) throw new QuotaExceededError('patch', patch.sizeBytes, maximumBytes)
    return patch
  }

  return { fetch }
}

function unlessAborted<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return result
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason)
    if (signal.aborted) return aborted()
    signal.addEventListener('abort', aborted, { once: true })
    result.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted))
  })
}
