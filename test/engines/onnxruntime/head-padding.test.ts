import { describe, expect, it } from 'vitest'
import { padColumns, paddedHeadSize, padRows, queryKeyPlaces, valuePlaces } from '#engines/onnxruntime/head-padding.ts'

describe('head padding', () => {
  it('rounds up to sixteen', () => {
    expect([2, 8, 16, 22, 64].map(paddedHeadSize)).toEqual([16, 16, 16, 32, 64])
  })

  it('keeps the pairs of RoPE: halves move apart, neighbours stay', () => {
    expect(queryKeyPlaces({ headSize: 6, ropeStyle: 'half' })).toEqual([0, 1, 2, 8, 9, 10])
    expect(queryKeyPlaces({ headSize: 6, ropeStyle: 'interleaved' })).toEqual([0, 1, 2, 3, 4, 5])
    expect(queryKeyPlaces({ headSize: 16, ropeStyle: 'half' })).toEqual(valuePlaces(16))
  })

  it('moves rows head by head', () => {
    const to = new Float32Array(2 * 16 * 2)
    padRows(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), to, [0, 8], 2) // (2 heads of 2, 2)
    expect([...to.entries()].filter(([, value]) => value !== 0).map(([i]) => i)).toEqual([0, 1, 16, 17, 32, 33, 48, 49])
    expect([to[16], to[17], to[48]]).toEqual([3, 4, 7])
  })

  it('moves columns head by head', () => {
    const to = new Float32Array(2 * 16)
    padColumns(Float32Array.of(1, 2, 3, 4), to, [0, 1]) // (2 rows, 1 head of 2)
    expect([to[0], to[1], to[16], to[17]]).toEqual([1, 2, 3, 4])
  })
})
