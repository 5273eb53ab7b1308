import { describe, expect, it } from 'vitest'
import { attention } from '#core/numerics/attention.ts'
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
