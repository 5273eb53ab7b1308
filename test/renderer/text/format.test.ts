import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  displayPeer,
  displayText,
  formatAgo,
  formatBlocks,
  formatBytes,
  formatClock,
  formatCount,
  formatDateTime,
  formatDuration,
  formatInterval,
  formatLoss,
  formatNumber,
  formatPercent,
  formatPlural,
  formatRate,
  formatShare,
  formatSmall,
  formatSpans,
  formatWhen,
  shortPeerId,
} from '#renderer/text/format.ts'

const anyNumber = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.constantFrom(null, undefined, Number.NaN, Number.POSITIVE_INFINITY, -1, 0, -0, 8.64e15, 8.65e15, 1e308),
)

describe('formatting', () => {
  test('never shows NaN, undefined, null, Infinity or nothing, whatever the number', () => {
    const formats = [formatCount, formatBytes, formatRate, formatPercent, formatDuration, formatClock]
    const all = [
      ...formats,
      formatNumber,
      formatSmall,
      formatLoss,
      formatShare,
      formatDateTime,
      (value: number) => formatPlural(value, 'token'),
    ]
    fc.assert(
      fc.property(anyNumber, fc.nat(2_000_000_000_000), (value, nowMs) => {
        const shown = all.map((format) => format(value as number))
        shown.push(formatAgo(value, nowMs), formatWhen(value, nowMs))
        for (const text of shown) {
          expect(text).not.toMatch(/NaN|undefined|null|∞|Infinity|Invalid/)
          expect(text.length).toBeGreaterThan(0)
          expect(text.length).toBeLessThan(32)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('shows bytes in binary units with three significant digits and never more than three before the point', () => {
    expect(formatBytes(0)).toBe('0 B')
    expect(formatBytes(999)).toBe('999 B')
    expect(formatBytes(1000)).toBe('0.977 KiB')
    expect(formatBytes(1.2 * 1024 ** 3)).toBe('1.2 GiB')
    expect(formatBytes(1023.9 * 1024 ** 2)).toBe('1 GiB')
    fc.assert(
      fc.property(fc.nat(2 ** 31), (bytes) => {
        expect(formatBytes(bytes)).toMatch(/^\d{1,3}(\.\d+)? [KMGT]?i?B$/)
      }),
    )
  })

  test('says "not detected" for what is not known', () => {
    expect([formatBytes(null), formatCount(undefined), formatDuration(Number.NaN)]).toEqual(
      Array(3).fill('not detected'),
    )
  })

  test('gives durations in the one or two units that matter', () => {
    const durations = [0, 0.84, 850, 12_345, 59_999, 200_000, 3_600_000, 7_500_000, 273_600_000]
    expect(durations.map(formatDuration)).toEqual([
      '0 ms',
      '0.84 ms',
      '850 ms',
      '12.3 s',
      '1 min',
      '3 min 20 s',
      '1 h',
      '2 h 5 min',
      '3 d 4 h',
    ])
  })

  test('tells age coarsely and takes a time ahead of the clock for now', () => {
    expect(formatAgo(0, 42_000)).toBe('42 s ago')
    expect(formatAgo(0, 200_000)).toBe('3 min ago')
    expect(formatAgo(50_000, 42_000)).toBe('just now')
  })

  test('names blocks by their first and last, as people count', () => {
    expect(formatBlocks({ start: 4, end: 8 })).toBe('blocks 4–7')
    expect(formatBlocks({ start: 4, end: 5 })).toBe('block 4')
    expect(
      formatSpans([
        { start: 0, end: 2 },
        { start: 6, end: 7 },
      ]),
    ).toBe('blocks 0–1 and 6')
    expect(formatSpans([])).toBe('no blocks')
  })

  test('one is singular and everything else is plural', () => {
    expect([0, 1, 2].map((count) => formatPlural(count, 'peer'))).toEqual(['0 peers', '1 peer', '2 peers'])
  })
})

describe('text from others', () => {
  test('is one line of at most 64 visible characters without controls or direction marks', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const shown = displayText(text)
        expect(Array.from(shown).length).toBeLessThanOrEqual(64)
        expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\u2028\u2029]/u)
      }),
    )
    expect(displayText('safe\u202Egnp.exe\n\u0007')).toBe('safegnp.exe')
  })

  test('a peer without a readable name is shown by the end of its id', () => {
    expect(shortPeerId('12D3KooWabcdefghijklmnop')).toBe('…ijklmnop')
    expect(displayPeer({ nodeName: '\u200b\u202e', peerId: '12D3KooWabcdefghijklmnop' })).toBe('…ijklmnop')
    expect(displayPeer({ nodeName: 'amber-otter', peerId: '12D3' })).toBe('amber-otter')
  })

  test('measures may be below zero, rates may be tiny, losses line up, intervals say from where to where', () => {
    expect([4.7912, 0.0312, -0.1523, 0, -0.0001].map(formatNumber)).toEqual(['4.79', '0.0312', '−0.152', '0', '0'])
    expect([3e-4, 0.001, 1.5e-5].map(formatSmall)).toEqual(['0.0003', '0.001', '0.000015'])
    expect([4.1, 4.797, 12].map(formatLoss)).toEqual(['4.10', '4.80', '12.00'])
    expect([0.005, 0.0156, 1].map(formatShare)).toEqual(['0.5 %', '1.56 %', '100 %'])
    expect(formatInterval({ mean: -0.15, low: -0.17, high: 0.01 })).toBe('−0.15 (−0.17 to 0.01)')
  })
})
