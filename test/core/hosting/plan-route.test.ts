import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { digestSchema } from '#contracts/digest.ts'
import { type Span, spanCovers, spanLength } from '#contracts/span.ts'
import { blockCostMs, hopCostMs, type PlannedHop, planRoute, type RouteQuery } from '#core/hosting/plan-route.ts'
import type { SpanOffer } from '#core/ports/swarm.ts'

const modelDigest = digestSchema.parse('a'.repeat(64))

function offer(peerId: string, start: number, end: number, maxLength = 100): SpanOffer {
  return { peerId, modelDigest, span: { start, end }, maxLength, nodeName: `node ${peerId}`, expiresAtMs: 1 }
}

function query(part: Partial<RouteQuery> & Pick<RouteQuery, 'span' | 'offers'>): RouteQuery {
  return { local: null, maxLength: 10, excluded: new Set(), rttMs: () => 10, spreadSeed: 'seed', ...part }
}

function route(part: Parameters<typeof query>[0]): readonly PlannedHop[] {
  const plan = planRoute(query(part))
  if (plan.kind === 'missing') throw new Error(`missing ${JSON.stringify(plan.spans)}`)
  return plan.hops
}

function shown(hops: readonly PlannedHop[]): string {
  return hops.map(({ peerId, span }) => `${peerId} ${span.start}:${span.end}`).join(', ')
}

const whole: Span = { start: 0, end: 5 }

describe('a route', () => {
  test('goes through the peers that together hold the span', () => {
    const offers = [offer('c', 4, 5), offer('a', 0, 2), offer('b', 2, 4)]
    expect(shown(route({ span: whole, offers }))).toBe('a 0:2, b 2:4, c 4:5')
  })

  test('uses part of an offer where offers overlap', () => {
    const hops = route({ span: whole, offers: [offer('a', 0, 4), offer('b', 2, 5)] })
    expect(hops.map(({ peerId }) => peerId)).toEqual(['a', 'b'])
    expect(hops[0]?.span.end).toBe(hops[1]?.span.start)
  })

  test('takes one hop rather than two of the same distance', () => {
    const offers = [offer('a', 0, 3), offer('b', 3, 5), offer('all', 0, 5)]
    expect(shown(route({ span: whole, offers }))).toBe('all 0:5')
  })

  test('takes two near hops rather than one far away', () => {
    const offers = [offer('a', 0, 3), offer('b', 3, 5), offer('far', 0, 5)]
    const rttMs = (peerId: string) => (peerId === 'far' ? 300 : 10)
    expect(shown(route({ span: whole, offers, rttMs }))).toBe('a 0:3, b 3:5')
  })

  test('prefers a peer whose distance is known to be small to one never measured', () => {
    const rttMs = (peerId: string) => (peerId === 'near' ? 20 : null)
    expect(shown(route({ span: whole, offers: [offer('unknown', 0, 5), offer('near', 0, 5)], rttMs }))).toBe('near 0:5')
  })

  test('uses this machine for all it has, and others for the rest', () => {
    const local = { peerId: 'me', nodeName: null, span: { start: 0, end: 3 } }
    const hops = route({ span: whole, offers: [offer('b', 2, 5)], local })
    expect(shown(hops)).toBe('me 0:3, b 3:5')
    expect(hops.map((hop) => hop.local)).toEqual([true, false])
  })

  test('does not leave a peer that holds everything for two blocks of this machine in the middle', () => {
    const local = { peerId: 'me', nodeName: null, span: { start: 2, end: 3 } }
    expect(shown(route({ span: whole, offers: [offer('b', 0, 5)], local }))).toBe('b 0:5')
  })

  test('leaves out excluded peers, this machine among them, and offers of shorter sessions', () => {
    const offers = [offer('a', 0, 5), offer('b', 0, 5, 9), offer('c', 0, 5)]
    const local = { peerId: 'me', nodeName: null, span: whole }
    expect(shown(route({ span: whole, offers, local, excluded: new Set(['a', 'me']) }))).toBe('c 0:5')
  })

  test('ignores this node own offer when it comes back from the swarm', () => {
    const local = { peerId: 'me', nodeName: null, span: { start: 0, end: 2 } }
    expect(planRoute(query({ span: whole, offers: [offer('me', 0, 5)], local }))).toEqual({
      kind: 'missing',
      spans: [{ start: 2, end: 5 }],
    })
  })

  test('is the same for the same seed, and spreads over equals for different ones', () => {
    const offers = Array.from({ length: 8 }, (_, i) => offer(`peer${i}`, 0, 5))
    const chosen = (spreadSeed: string) => route({ span: whole, offers, spreadSeed })[0]?.peerId
    expect(chosen('x')).toBe(chosen('x'))
    expect(route({ span: whole, offers: offers.toReversed(), spreadSeed: 'x' })[0]?.peerId).toBe(chosen('x'))
    const load = new Map<string | undefined, number>()
    for (let seed = 0; seed < 400; seed++) load.set(chosen(`${seed}`), (load.get(chosen(`${seed}`)) ?? 0) + 1)
    expect(load.size).toBe(8)
    expect(Math.max(...load.values())).toBeLessThan(90) // 50 each on average
  })
})

describe('missing blocks', () => {
  test('are named exactly', () => {
    const offers = [offer('a', 1, 2), offer('b', 4, 5)]
    expect(planRoute(query({ span: { start: 0, end: 7 }, offers }))).toEqual({
      kind: 'missing',
      spans: [
        { start: 0, end: 1 },
        { start: 2, end: 4 },
        { start: 5, end: 7 },
      ],
    })
  })
})

describe('any offers', () => {
  const blockCount = 6
  const spans = fc
    .tuple(fc.nat(blockCount - 1), fc.nat(blockCount - 1))
    .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) + 1 }))
  const cases = fc.record({
    span: spans,
    offers: fc.array(spans, { maxLength: 5 }).map((all) => all.map(({ start, end }, i) => offer(`p${i}`, start, end))),
    local: fc.option(spans.map((span) => ({ peerId: 'me', nodeName: null, span }))),
    rtts: fc.array(fc.option(fc.nat(400)), { minLength: 5, maxLength: 5 }),
    spreadSeed: fc.string({ maxLength: 3 }),
  })
  type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

  const toQuery = ({ span, offers, local, rtts, spreadSeed }: Case) =>
    query({ span, offers, local, spreadSeed, rttMs: (peerId) => rtts[Number(peerId.slice(1))] ?? null })

  const holdersOf = ({ offers, local }: RouteQuery) => [
    ...offers.map(({ peerId, span }) => ({ peerId, span, local: false })),
    ...(local ? [{ peerId: local.peerId, span: local.span, local: true }] : []),
  ]

  const cost = (asked: RouteQuery, hops: readonly Pick<PlannedHop, 'peerId' | 'local' | 'span'>[]) =>
    hops.reduce(
      (sum, { peerId, local, span }) =>
        sum + hopCostMs(local, asked.rttMs(peerId)) + blockCostMs(local) * spanLength(span),
      0,
    )

  /** Tries every holder and every length at every block. */
  function cheapestByForce(asked: RouteQuery, start: number): number {
    if (start === asked.span.end) return 0
    let best = Number.POSITIVE_INFINITY
    for (const holder of holdersOf(asked)) {
      for (let end = start + 1; end <= asked.span.end; end++) {
        if (!spanCovers(holder.span, { start, end })) continue
        const here = cost(asked, [{ ...holder, span: { start, end } }])
        best = Math.min(best, here + cheapestByForce(asked, end))
      }
    }
    return best
  }

  test('a route covers the span exactly, every hop within its offer, at the least cost there is', () => {
    fc.assert(
      fc.property(cases, (input) => {
        const asked = toQuery(input)
        const plan = planRoute(asked)
        if (plan.kind === 'missing') return
        expect(plan.hops[0]?.span.start).toBe(asked.span.start)
        expect(plan.hops.at(-1)?.span.end).toBe(asked.span.end)
        for (const [index, hop] of plan.hops.entries()) {
          if (index > 0) expect(hop.span.start).toBe(plan.hops[index - 1]?.span.end)
          expect(hop.span.start).toBeLessThan(hop.span.end)
          const holder = holdersOf(asked).find(({ peerId }) => peerId === hop.peerId)
          expect(holder && spanCovers(holder.span, hop.span)).toBe(true)
        }
        expect(cost(asked, plan.hops)).toBe(cheapestByForce(asked, asked.span.start))
      }),
      { numRuns: 400 },
    )
  })

  test('missing spans are exactly the blocks nobody holds', () => {
    fc.assert(
      fc.property(cases, (input) => {
        const asked = toQuery(input)
        const plan = planRoute(asked)
        const named = plan.kind === 'missing' ? plan.spans : []
        for (let block = asked.span.start; block < asked.span.end; block++) {
          const one = { start: block, end: block + 1 }
          const held = holdersOf(asked).some(({ span }) => spanCovers(span, one))
          expect(named.some((span) => spanCovers(span, one))).toBe(!held)
        }
        for (const span of named) expect(spanCovers(asked.span, span)).toBe(true)
        for (const [index, span] of named.entries()) {
          if (index > 0) expect(span.start).toBeGreaterThan(named[index - 1]?.end ?? 0)
        }
      }),
      { numRuns: 400 },
    )
  })
})
