/**
 * Who is asked next for a patch. A peer that failed is asked again after a while, three times in all; one that lied, never.
 * Whoever failed least comes first, then whoever was heard of last.
 */
import type { Digest } from '#contracts/digest.ts'
import { PatchUnavailableError } from '../errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { PatchExchange, PatchOffer } from '../ports/patch-exchange.ts'

export interface Holder {
  readonly peerId: string
  readonly offer: PatchOffer
}

export interface HolderPool {
  /** Throws `PatchUnavailableError` when nobody is left to ask, or the signal's reason. */
  next(): Promise<Holder>
  /** Whether somebody else could be asked now. */
  hasOther(peerId: string): boolean
  failed(peerId: string, why: string): void
  /** It said that it has no time now: asked again more often than one that failed. */
  busy(peerId: string): void
  lied(peerId: string, why: string): void
}

interface Record {
  readonly failures: number
  readonly notBeforeMs: number
}

const maximumFailures = 3
const busyCountsFor = 0.1
const busyPauseMs = 1_000
const firstPauseMs = 500

export function createHolderPool(
  components: { readonly exchange: PatchExchange; readonly clock: Clock },
  digest: Digest,
  options: { readonly searchMs: number; readonly signal?: AbortSignal | undefined },
): HolderPool {
  const { exchange, clock } = components
  const { searchMs, signal } = options
  const records = new Map<string, Record>()
  const heardOf = new Map<string, PatchOffer>()
  let lastWhy = 'no peer that has it can be reached'

  const failuresOf = (peerId: string) => records.get(peerId)?.failures ?? 0
  const isLeft = (peerId: string) => failuresOf(peerId) < maximumFailures
  const isReady = (peerId: string) => isLeft(peerId) && (records.get(peerId)?.notBeforeMs ?? 0) <= clock.monotonicMs()

  function hear(offers: readonly PatchOffer[]): void {
    for (const offer of offers) for (const peerId of offer.holders) heardOf.set(peerId, offer)
  }

  function ready(): Holder[] {
    return [...heardOf]
      .filter(([peerId]) => isReady(peerId))
      .map(([peerId, offer]) => ({ peerId, offer }))
      .sort((a, b) => failuresOf(a.peerId) - failuresOf(b.peerId))
  }

  /** The time until somebody who failed may be asked again; null when nobody may. */
  function pauseMs(): number | null {
    const moments = [...records.values()].filter(({ failures }) => failures < maximumFailures)
    if (moments.length === 0) return null
    return Math.max(0, Math.min(...moments.map(({ notBeforeMs }) => notBeforeMs)) - clock.monotonicMs())
  }

  async function look(): Promise<void> {
    const pause = pauseMs()
    const timeoutMs = pause === null ? searchMs : Math.min(searchMs, pause)
    const enough = (offers: readonly PatchOffer[]) => offers.some(({ holders }) => holders.some(isReady))
    hear(await exchange.find({ patch: digest }, { enough, timeoutMs, ...(signal && { signal }) }))
  }

  return {
    async next() {
      signal?.throwIfAborted()
      // Every look waits for somebody who may be asked again, or is the last.
      for (let first = ready()[0]; ; first = ready()[0]) {
        if (first !== undefined) return first
        const mayComeBack = pauseMs() !== null
        await look()
        if (ready().length === 0 && !mayComeBack) throw new PatchUnavailableError(digest, lastWhy)
      }
    },
    hasOther: (peerId) => [...heardOf.keys()].some((other) => other !== peerId && isReady(other)),
    failed(peerId, why) {
      const failures = failuresOf(peerId) + 1
      records.set(peerId, { failures, notBeforeMs: clock.monotonicMs() + firstPauseMs * 2 ** (failures - 1) })
      lastWhy = why
    },
    busy(peerId) {
      const failures = failuresOf(peerId) + busyCountsFor
      records.set(peerId, { failures, notBeforeMs: clock.monotonicMs() + busyPauseMs })
      lastWhy = 'the peers that have it are busy'
    },
    lied(peerId, why) {
      records.set(peerId, { failures: maximumFailures, notBeforeMs: 0 })
      lastWhy = why
      exchange.reportLiar(peerId)
    },
  }
}
