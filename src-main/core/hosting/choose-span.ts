/**
 * Which blocks a newcomer should host: the window whose blocks are held by the fewest others, comparing windows by their
 * sorted holder counts (Petals' rule, Borzunov et al. 2023, with holders in place of throughput). A block nobody holds
 * counts 0 and so always draws the window to it.
 *
 * Petals takes the first of equal windows and waits at random against races. Here equals are first thinned to those that
 * leave no odd ends (windows laid edge to edge from where the equals begin, or flush with where they end), then one of them
 * is taken by a hash of the peer id: nodes that start together spread out, and what they leave open still tiles.
 */
import type { Span } from '#contracts/span.ts'
import type { SpanOffer } from '../ports/swarm.ts'
import { blockCoverage } from './coverage.ts'
import { spreadHash } from './spread.ts'

export interface PlacementQuery {
  readonly blockCount: number
  /** How many blocks this node can hold; all of the model when larger. */
  readonly blocks: number
  /** What others hold; an offer of this node itself is not counted. */
  readonly offers: readonly Pick<SpanOffer, 'peerId' | 'span'>[]
  readonly selfId: string
}

export function chooseSpan({ blockCount, blocks, offers, selfId }: PlacementQuery): Span {
  const length = Math.max(1, Math.min(blocks, blockCount))
  const others = offers.filter(({ peerId }) => peerId !== selfId)
  const held = blockCoverage(blockCount, others, null).map(({ holders }) => holders.length)
  const starts = snug(leastHeld(held, length), length)
  const start = starts.reduce((best, next) => (spreadHash(selfId, next) < spreadHash(selfId, best) ? next : best))
  return { start, end: start + length }
}

/** Starts of all windows whose sorted holder counts are the lexicographically smallest; ascending, never empty. */
function leastHeld(held: readonly number[], length: number): number[] {
  let least: readonly number[] = []
  let starts: number[] = []
  for (let start = 0; start + length <= held.length; start++) {
    const counts = held.slice(start, start + length).sort((a, b) => a - b)
    const order = starts.length === 0 ? -1 : compare(counts, least)
    if (order < 0) {
      least = counts
      starts = []
    }
    if (order <= 0) starts.push(start)
  }
  return starts
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [index, count] of a.entries()) {
    const difference = count - (b[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** Of each run of neighbouring starts, every `length`-th from its beginning, and its end. */
function snug(starts: readonly number[], length: number): number[] {
  let runStart = starts[0] ?? 0
  return starts.filter((start, index) => {
    if (index > 0 && starts[index - 1] !== start - 1) runStart = start
    const runEnds = starts[index + 1] !== start + 1
    return runEnds || (start - runStart) % length === 0
  })
}
