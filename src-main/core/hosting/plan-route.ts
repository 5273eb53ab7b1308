/**
 * The cheapest chain of peers through a span of blocks. A walk over the blocks keeps, for every holder, the least cost of
 * a chain that ends on it (Viterbi's algorithm): at each block a chain either stays with its holder or hops to another,
 * so a hop may use any part of what its peer offers. O(blocks x offers).
 *
 * Costs are whole milliseconds in coarse steps, so that near-equal peers are truly equal; equals are settled by a hash of
 * peer id and `spreadSeed`, so that clients do not all crowd onto the same chain, as they do in Petals.
 */
import type { Span } from '#contracts/span.ts'
import type { SpanOffer } from '../ports/swarm.ts'
import { gapsIn } from './coverage.ts'
import { spreadHash } from './spread.ts'

export interface RouteQuery {
  readonly span: Span
  /** Unexpired offers for the right model. */
  readonly offers: readonly SpanOffer[]
  /** This node's own blocks, if it may use them. */
  readonly local: { readonly peerId: string; readonly nodeName: string | null; readonly span: Span } | null
  /** Positions the session must hold; offers of shorter sessions are passed over. */
  readonly maxLength: number
  readonly excluded: ReadonlySet<string>
  readonly rttMs: (peerId: string) => number | null
  /** The same seed gives the same route from the same facts. */
  readonly spreadSeed: string
}

export interface PlannedHop {
  readonly peerId: string
  readonly nodeName: string | null
  readonly local: boolean
  readonly span: Span
}

export type RoutePlan =
  | { readonly kind: 'route'; readonly hops: readonly PlannedHop[] }
  | { readonly kind: 'missing'; readonly spans: readonly Span[] }

/** What one more peer in the chain costs even with no distance: framing, scheduling, one more thing to fail. */
const remoteHopMs = 5
/** A block computed elsewhere burdens somebody else's machine. */
const remoteBlockMs = 1
const unknownRttMs = 100
const maximumRttMs = 10_000
/** Latencies nearer to each other than this count as equal. */
const latencyStepMs = 10

/** Cost of one hop: a whole round trip, rounded, because the client carries hidden states from each hop to the next. */
export function hopCostMs(local: boolean, rttMs: number | null): number {
  if (local) return 0
  const roundTripMs = Math.min(Math.max(rttMs ?? unknownRttMs, 0), maximumRttMs)
  return remoteHopMs + Math.round(roundTripMs / latencyStepMs) * latencyStepMs
}

export function blockCostMs(local: boolean): number {
  return local ? 0 : remoteBlockMs
}

/** One who may run some of the blocks, with what that costs. */
interface Holder extends PlannedHop {
  readonly hopMs: number
  readonly blockMs: number
  readonly spread: number
}

/** The best chain known that covers all blocks up to one, and ends with `holder`. */
interface Chain {
  readonly holder: Holder
  /** Where the last hop begins, and the chain before it. */
  readonly start: number
  readonly before: Chain | null
  readonly costMs: number
  readonly spread: number
}

/** Hops in order, touching, covering `span` exactly; or exactly the blocks that nobody usable holds. */
export function planRoute(query: RouteQuery): RoutePlan {
  const { span } = query
  const holders = usableHolders(query)
  const missing = gapsIn(span, (block) => !holders.some((holder) => holds(holder, block)))
  if (missing.length > 0) return { kind: 'missing', spans: missing }

  let best: Chain | null = null
  let chains = new Map<Holder, Chain>()
  for (let block = span.start; block < span.end; block++) {
    const extended = new Map<Holder, Chain>()
    for (const holder of holders) {
      if (!holds(holder, block)) continue
      extended.set(holder, extend(cheaper(chains.get(holder) ?? null, hop(best, holder, block))))
    }
    chains = extended
    best = [...chains.values()].reduce(cheaper)
  }
  return { kind: 'route', hops: hopsOf(best, span.end) }
}

function usableHolders(query: RouteQuery): Holder[] {
  const { local, excluded } = query
  const remote = query.offers
    .filter((offer) => offer.peerId !== local?.peerId && offer.maxLength >= query.maxLength)
    .map((offer) => ({ peerId: offer.peerId, nodeName: offer.nodeName, local: false, span: offer.span }))
  const all: PlannedHop[] = local ? [{ ...local, local: true }, ...remote] : remote
  return all
    .filter(({ peerId }) => !excluded.has(peerId))
    .map((hop) => ({
      ...hop,
      hopMs: hopCostMs(hop.local, hop.local ? 0 : query.rttMs(hop.peerId)),
      blockMs: blockCostMs(hop.local),
      spread: spreadHash(query.spreadSeed, hop.peerId),
    }))
    .sort((a, b) => a.spread - b.spread || (a.peerId < b.peerId ? -1 : 1))
}

function holds({ span }: Holder, block: number): boolean {
  return span.start <= block && block < span.end
}

function hop(before: Chain | null, holder: Holder, start: number): Chain {
  const costMs = (before?.costMs ?? 0) + holder.hopMs
  return { holder, start, before, costMs, spread: (before?.spread ?? 0) + holder.spread }
}

function extend(chain: Chain): Chain {
  return { ...chain, costMs: chain.costMs + chain.holder.blockMs }
}

/** The better of two; `a` when they are equal in everything. */
function cheaper<A extends Chain | null>(a: A, b: Chain): Chain {
  if (a === null) return b
  const difference = a.costMs - b.costMs || a.spread - b.spread
  return difference <= 0 ? a : b
}

function hopsOf(last: Chain | null, end: number): PlannedHop[] {
  const hops: PlannedHop[] = []
  let hopEnd = end
  for (let chain = last; chain !== null; chain = chain.before) {
    const { peerId, nodeName, local } = chain.holder
    hops.unshift({ peerId, nodeName, local, span: { start: chain.start, end: hopEnd } })
    hopEnd = chain.start
  }
  return hops
}
