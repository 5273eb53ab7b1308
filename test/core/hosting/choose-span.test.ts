import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Span } from '#contracts/span.ts'
import { chooseSpan } from '#core/hosting/choose-span.ts'
import { blockCoverage } from '#core/hosting/coverage.ts'

type Held = { readonly peerId: string; readonly span: Span }

function held(peerId: string, start: number, end: number): Held {
  return { peerId, span: { start, end } }
}

/** Nodes that start one after the other, each seeing those before it. */
function startInTurn(blockCount: number, sizes: readonly number[], name: string): Held[] {
  const offers: Held[] = []
  for (const [index, blocks] of sizes.entries()) {
    const selfId = `${name}-${index}`
    offers.push({ peerId: selfId, span: chooseSpan({ blockCount, blocks, offers, selfId }) })
  }
  return offers
}

function holderCounts(blockCount: number, offers: readonly Held[]): number[] {
  return blockCoverage(blockCount, offers, null).map(({ holders }) => holders.length)
}

describe('placement', () => {
  test('fills an uncovered gap, however strongly the rest is held', () => {
    const offers = [held('a', 0, 2), held('b', 3, 6), held('c', 0, 2)]
    expect(chooseSpan({ blockCount: 6, blocks: 1, offers, selfId: 'me' })).toEqual({ start: 2, end: 3 })
  })

  test('covers as much of a gap as it can', () => {
    const offers = [held('a', 0, 1), held('b', 4, 6)]
    expect(chooseSpan({ blockCount: 6, blocks: 3, offers, selfId: 'me' })).toEqual({ start: 1, end: 4 })
  })

  test('strengthens the least-held blocks when everything is covered', () => {
    const offers = [held('a', 0, 6), held('b', 0, 4)]
    expect(chooseSpan({ blockCount: 6, blocks: 2, offers, selfId: 'me' })).toEqual({ start: 4, end: 6 })
  })

  test('takes the whole model when it has room for more', () => {
    expect(chooseSpan({ blockCount: 5, blocks: 90, offers: [], selfId: 'me' })).toEqual({ start: 0, end: 5 })
  })

  test('does not count what this node itself offered before', () => {
    const offers = [held('me', 0, 2), held('a', 2, 6)]
    expect(chooseSpan({ blockCount: 6, blocks: 2, offers, selfId: 'me' })).toEqual({ start: 0, end: 2 })
  })

  test('is the same for the same node, and spreads nodes that start together', () => {
    const choose = (selfId: string) => chooseSpan({ blockCount: 24, blocks: 4, offers: [], selfId }).start
    expect(choose('x')).toBe(choose('x'))
    const starts = new Set(Array.from({ length: 200 }, (_, i) => choose(`node${i}`)))
    expect([...starts].sort((a, b) => a - b)).toEqual([0, 4, 8, 12, 16, 20])
  })
})

describe('any swarm', () => {
  const cases = fc.tuple(fc.integer({ min: 1, max: 24 }), fc.integer({ min: 1, max: 24 }), fc.string({ maxLength: 4 }))

  test('nodes of one size that start in turn cover the model with as few as can be', () => {
    fc.assert(
      fc.property(cases, ([blockCount, blocks, name]) => {
        const fewest = Math.ceil(blockCount / Math.min(blocks, blockCount))
        const offers = startInTurn(blockCount, new Array<number>(fewest).fill(blocks), name)
        expect(Math.min(...holderCounts(blockCount, offers))).toBe(1)
      }),
    )
  })

  test('the window has the size asked for, lies in the model, and no other leaves the least-held block weaker', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 10 })
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        sizes,
        (blockCount, blocks, others) => {
          const offers = startInTurn(blockCount, others, 'other')
          const span = chooseSpan({ blockCount, blocks, offers, selfId: 'me' })
          expect(span.end - span.start).toBe(Math.min(blocks, blockCount))
          expect(span.start).toBeGreaterThanOrEqual(0)
          expect(span.end).toBeLessThanOrEqual(blockCount)
          const weakest = Math.min(...holderCounts(blockCount, offers))
          const ofWindow = Math.min(...holderCounts(blockCount, offers).slice(span.start, span.end))
          expect(ofWindow).toBe(weakest)
        },
      ),
    )
  })
})
