import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attention, visiblePositions } from '#core/numerics/attention.ts'
import { appendToCache, createKeyValueCache } from '#core/numerics/key-value-cache.ts'

/** A cache of (positions, kvHeads, 2). */
function cacheOf(keys: number[], values: number[], kvHeads = 1) {
  const cache = createKeyValueCache()
  appendToCache(cache, Float64Array.from(keys), Float64Array.from(values), 2 * kvHeads)
  return cache
}
const oneHead = { headCount: 1, kvHeadCount: 1, headSize: 2 }

describe('attention', () => {
  it('mixes values by the softmax of scaled products', () => {
    const cache = cacheOf([0, 0, Math.SQRT2 * Math.log(3), 0], [1, 0, 0, 1])
    const [a, b] = attention(Float64Array.of(1, 0), cache, oneHead)
    expect(a).toBeCloseTo(0.25, 12)
    expect(b).toBeCloseTo(0.75, 12)
  })

  it('shows a token itself and what came before, never what comes after', () => {
    const cache = cacheOf([0, 0, 0, 0, 0, 0], [3, 0, 0, 3, 3, 3])
    expect([...attention(new Float64Array(6), cache, oneHead)].map((x) => Math.round(x * 1e9) / 1e9)).toEqual([
      3, 0, 1.5, 1.5, 2, 2,
    ])
  })

  it('lets neighbouring query heads share a key-value head', () => {
    const cache = cacheOf([0, 0, 0, 0], [1, 2, 3, 4], 2)
    const output = attention(new Float64Array(8), cache, { headCount: 4, kvHeadCount: 2, headSize: 2 })
    expect([...output]).toEqual([1, 2, 1, 2, 3, 4, 3, 4])
  })
})

describe('attention with a sliding window', () => {
  const random = (length: number, seed: number) => Float64Array.from({ length }, (_, i) => Math.sin(seed + 7 * i))
  /** `tokens` queries after a cache of `positions`, which it includes; two query heads share one key-value head of 2. */
  function attend(positions: number, tokens: number, slidingWindow?: number) {
    const cache = cacheOf([...random(2 * positions, 1)], [...random(2 * positions, 2)])
    const shape = { headCount: 2, kvHeadCount: 1, headSize: 2 }
    const queries = random(4 * positions, 3).subarray(4 * (positions - tokens)) // the same query at the same position
    return attention(queries, cache, slidingWindow === undefined ? shape : { ...shape, slidingWindow })
  }

  it('of one position shows a token itself only', () => {
    const values = random(2 * 4, 2)
    const doubled = [0, 1, 2, 3].flatMap((p) => [
      ...values.subarray(2 * p, 2 * p + 2),
      ...values.subarray(2 * p, 2 * p + 2),
    ])
    for (const [i, value] of attend(4, 4, 1).entries()) expect(value).toBeCloseTo(doubled[i] ?? Number.NaN, 12)
  })

  it('of two positions mixes a token with the one before it', () => {
    const cache = cacheOf([0, 0, 0, 0, 0, 0], [3, 0, 0, 3, 3, 3])
    const output = attention(new Float64Array(6), cache, { ...oneHead, slidingWindow: 2 })
    expect([...output].map((x) => Math.round(x * 1e9) / 1e9)).toEqual([3, 0, 1.5, 1.5, 1.5, 3])
  })

  it('changes nothing as long as it reaches back to the start', () => {
    expect(attend(6, 6, 6)).toEqual(attend(6, 6))
    expect(attend(6, 6, 5)).not.toEqual(attend(6, 6))
    expect(attend(6, 6, 5).subarray(0, 4 * 5)).toEqual(attend(6, 6).subarray(0, 4 * 5))
  })

  it('counts from each token’s own position, however many come at once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 12 }), (tokens, slidingWindow) => {
        const whole = attend(9, 9, slidingWindow)
        expect(attend(9, tokens, slidingWindow)).toEqual(whole.subarray(4 * (9 - tokens)))
      }),
    )
  })

  it('sees itself and the window less one before it', () => {
    expect(visiblePositions(7, {})).toEqual({ begin: 0, end: 8 })
    expect(visiblePositions(7, { slidingWindow: 3 })).toEqual({ begin: 5, end: 8 })
    expect(visiblePositions(1, { slidingWindow: 3 })).toEqual({ begin: 0, end: 2 })
  })
})

describe('the cache', () => {
  it('keeps what was appended while it grows, and forgets when its length is lowered', () => {
    const cache = createKeyValueCache()
    for (let i = 0; i < 5; i++) appendToCache(cache, Float64Array.of(i, i), Float64Array.of(-i, -i), 2)
    cache.length = 3
    appendToCache(cache, Float64Array.of(9, 9), Float64Array.of(9, 9), 2)
    expect(cache.length).toBe(4)
    expect([...cache.keys.subarray(0, 8)]).toEqual([0, 0, 1, 1, 2, 2, 9, 9])
  })
})
