import { describe, expect, test } from 'vitest'
import { blockCoverageSchema } from '#contracts/api/node.ts'
import { blockCoverage, gapsIn } from '#core/hosting/coverage.ts'

describe('coverage', () => {
  test('lists every block with its holders, own blocks marked', () => {
    const offers = [
      { peerId: 'b', span: { start: 0, end: 2 } },
      { peerId: 'a', span: { start: 1, end: 2 } },
      { peerId: 'b', span: { start: 1, end: 2 } },
    ]
    const coverage = blockCoverage(4, offers, { peerId: 'me', span: { start: 1, end: 3 } })
    expect(coverage).toEqual([
      { block: 0, holders: ['b'], mine: false },
      { block: 1, holders: ['a', 'b', 'me'], mine: true },
      { block: 2, holders: ['me'], mine: true },
      { block: 3, holders: [], mine: false },
    ])
    for (const block of coverage) blockCoverageSchema.parse(block)
  })

  test('leaves out what an offer claims beyond the model', () => {
    const coverage = blockCoverage(2, [{ peerId: 'a', span: { start: 1, end: 900 } }], null)
    expect(coverage.map(({ holders }) => holders)).toEqual([[], ['a']])
  })

  test('gaps are maximal runs', () => {
    expect(gapsIn({ start: 1, end: 8 }, (block) => ![3, 4, 7].includes(block))).toEqual([
      { start: 1, end: 3 },
      { start: 5, end: 7 },
    ])
  })
})
