import { describe, expect, test } from 'vitest'
import type { BlockCoverage } from '#contracts/api/node.ts'
import { coverageSentence, holdersInWords, quiltSummary, spansWhere } from '#renderer/text/quilt.ts'

/** `m` is held by me, a digit by that many others, both together by both. */
function quilt(...blocks: string[]): BlockCoverage[] {
  return blocks.map((held, block) => {
    const mine = held.includes('m')
    const others = Array.from({ length: Number(held.replace('m', '') || 0) }, (_, number) => `peer${number}`)
    return { block, mine, holders: mine ? ['me', ...others] : others }
  })
}

describe('the quilt in words', () => {
  test('a gap comes before everything else', () => {
    expect(coverageSentence(quilt('m', '0', '0', '1'))).toBe(
      'Nobody holds blocks 1–2: text cannot be generated until someone does.',
    )
  })

  test('being the only holder is said as that', () => {
    expect(coverageSentence(quilt('m', 'm'))).toContain('You are the only holder of every block')
    expect(coverageSentence(quilt('m', '2', '2'))).toContain('You are the only holder of block 0')
  })

  test('single holders among others are named by their blocks', () => {
    expect(coverageSentence(quilt('m1', '1', '3', '1'))).toContain('Blocks 1 and 3 have only one holder')
    expect(coverageSentence(quilt('m1', '1', '3'))).toContain('Block 1 has only one holder')
  })

  test('a safe quilt is called safe', () => {
    expect(coverageSentence(quilt('m1', '2', '3'))).toContain('at least two holders')
  })

  test('captions tell you from others', () => {
    expect(quilt('0', 'm', '1', 'm2').map(holdersInWords)).toEqual(['no holder', 'only you', '1 holder', '3 holders'])
  })

  test('the summary says how many blocks there are and which are yours', () => {
    expect(quiltSummary(quilt('m1', 'm1', '2'))).toMatch(/quilt of 3 blocks\. You hold blocks 0–1\./)
    expect(quiltSummary(quilt('2'))).toContain('You hold none.')
  })

  test('runs of blocks become spans', () => {
    expect(spansWhere(quilt('1', '1', '0', '1'), (block) => block.holders.length === 1)).toEqual([
      { start: 0, end: 2 },
      { start: 3, end: 4 },
    ])
  })
})
