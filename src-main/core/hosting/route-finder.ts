/**
 * Finds who runs a span for one client session, and remembers who failed it. A failed peer is left out for a while, twice
 * as long after each further failure; then it is half-open, like anybody else. Before blocks are given up as missing,
 * each peer gets one early second chance: a lost one as soon as it has made a new offer, a refusing one when nobody else
 * was found within the search.
 */
import type { Digest } from '#contracts/digest.ts'
import type { Span } from '#contracts/span.ts'
import { ContextTooLongError, MissingBlocksError } from '../errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { SpanOffer, Swarm } from '../ports/swarm.ts'
import { type PlannedHop, planRoute, type RoutePlan, type RouteQuery } from './plan-route.ts'

export interface RouteFinderComponents {
  /** Null: only this machine. */
  readonly swarm: Pick<Swarm, 'knownOffers' | 'findOffers' | 'rttMs'> | null
  readonly clock: Clock
}

export interface RouteFinderInit extends Pick<RouteQuery, 'local' | 'maxLength' | 'spreadSeed'> {
  readonly modelDigest: Digest
  /** How long to ask the swarm for blocks nobody known holds. */
  readonly searchTimeoutMs: number
}

/** `lost`: gone or wrong. `refused`: alive, but not now. `broken`: this node's own engine failed; never tried again. */
export type Failing = 'lost' | 'refused' | 'broken'

export interface RouteFinder {
  /** Throws `MissingBlocksError`, or `ContextTooLongError` when the blocks are there, but only for shorter sessions. */
  find(span: Span, options: { signal?: AbortSignal }): Promise<readonly PlannedHop[]>
  exclude(peerId: string, failing: Failing): void
}

interface Exclusion {
  readonly failing: Failing
  readonly failures: number
  readonly untilMs: number
}

const firstExclusionMs = 30_000

export function createRouteFinder({ swarm, clock }: RouteFinderComponents, init: RouteFinderInit): RouteFinder {
  const exclusions = new Map<string, Exclusion>()

  /** Peers to leave out, but for those of `secondChance` that failed only once. */
  function excluded(secondChance: readonly Failing[]): ReadonlySet<string> {
    const now = clock.monotonicMs()
    const out = [...exclusions].filter(
      ([, { failing, failures, untilMs }]) =>
        failing === 'broken' || (now < untilMs && !(failures === 1 && secondChance.includes(failing))),
    )
    return new Set(out.map(([peerId]) => peerId))
  }

  function plan(
    span: Span,
    offers: readonly SpanOffer[],
    secondChance: readonly Failing[],
    maxLength = init.maxLength,
  ) {
    const rttMs = (peerId: string) => swarm?.rttMs(peerId) ?? null
    const { local, spreadSeed } = init
    return planRoute({ span, offers, local, maxLength, excluded: excluded(secondChance), rttMs, spreadSeed })
  }

  async function search(span: Span, signal: AbortSignal | undefined): Promise<readonly SpanOffer[]> {
    if (swarm === null) return []
    const enough = (offers: readonly SpanOffer[]) => plan(span, offers, ['lost']).kind === 'route'
    const options = { enough, timeoutMs: init.searchTimeoutMs }
    return await swarm.findOffers(init.modelDigest, signal ? { ...options, signal } : options)
  }

  /** The most positions for which the offers make a route; null when they never do. */
  function longest(span: Span, offers: readonly SpanOffer[]): number | null {
    const lengths = offers.map(({ maxLength }) => maxLength).sort((a, b) => b - a)
    return lengths.find((length) => plan(span, offers, ['lost', 'refused'], length).kind === 'route') ?? null
  }

  return {
    async find(span, { signal }) {
      const atOnce = plan(span, swarm?.knownOffers(init.modelDigest) ?? [], [])
      if (atOnce.kind === 'route') return atOnce.hops
      const offers = await search(span, signal)
      const chances: readonly (readonly Failing[])[] = [[], ['lost'], ['lost', 'refused']]
      let found: RoutePlan = atOnce
      for (const chance of chances) {
        found = plan(span, offers, chance)
        if (found.kind === 'route') return found.hops
      }
      const maximum = longest(span, offers)
      if (maximum !== null) throw new ContextTooLongError(init.maxLength, maximum)
      throw new MissingBlocksError(found.kind === 'missing' ? found.spans : [span])
    },

    exclude(peerId, failing) {
      const failures = (exclusions.get(peerId)?.failures ?? 0) + 1
      const untilMs = clock.monotonicMs() + firstExclusionMs * 2 ** (failures - 1)
      exclusions.set(peerId, { failing, failures, untilMs })
    },
  }
}
