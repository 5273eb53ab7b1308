/** Who holds which block, as the dashboard shows it and as placement and routing see it. */
import type { BlockCoverage } from '#contracts/api/node.ts'
import type { Span } from '#contracts/span.ts'
import type { SpanOffer } from '../ports/swarm.ts'

type Holder = { readonly peerId: string; readonly span: Span }

/** One entry a block of the model; holders in the order of their peer ids, each once. */
export function blockCoverage(
  blockCount: number,
  offers: readonly Pick<SpanOffer, 'peerId' | 'span'>[],
  own: Holder | null,
): readonly BlockCoverage[] {
  const holders = own ? [...offers, own] : offers
  return Array.from({ length: blockCount }, (_, block) => ({
    block,
    holders: [...new Set(holders.filter(({ span }) => holds(span, block)).map(({ peerId }) => peerId))].sort(),
    mine: own !== null && holds(own.span, block),
  }))
}

/** The maximal runs of blocks in `span` for which `missing` holds. */
export function gapsIn(span: Span, missing: (block: number) => boolean): readonly Span[] {
  const gaps: Span[] = []
  for (let block = span.start; block < span.end; block++) {
    if (!missing(block)) continue
    const last = gaps.at(-1)
    if (last?.end === block) gaps[gaps.length - 1] = { start: last.start, end: block + 1 }
    else gaps.push({ start: block, end: block + 1 })
  }
  return gaps
}

function holds(span: Span, block: number): boolean {
  return span.start <= block && block < span.end
}
