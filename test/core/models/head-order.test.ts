import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import { orderedHeads, reorderHeads } from '#core/models/head-order.ts'
import { applyRope } from '#core/numerics/rope.ts'
import { tinyConfig } from '#test/fakes/model-handle.ts'

describe('rows in another head order', () => {
  it('are pairs side by side, or half a head apart', () => {
    const rows = Float32Array.of(0, 1, 2, 3, 10, 11, 12, 13)
    const shape = { heads: 2, headSize: 4 }
    expect([...reorderHeads(rows, shape, 'interleaved')]).toEqual([0, 2, 1, 3, 10, 12, 11, 13])
    expect([...reorderHeads(rows, shape, 'half')]).toEqual([0, 2, 1, 3, 10, 12, 11, 13])
    const six = Float32Array.of(0, 1, 2, 3, 4, 5)
    expect([...reorderHeads(six, { heads: 1, headSize: 6 }, 'interleaved')]).toEqual([0, 3, 1, 4, 2, 5])
  })

  it('come back as they were', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 4 }), (heads, half) => {
        const shape = { heads, headSize: 2 * half }
        const rows = Float32Array.from({ length: heads * half * 2 * 3 }, (_, i) => i)
        expect(reorderHeads(reorderHeads(rows, shape, 'interleaved'), shape, 'half')).toEqual(rows)
      }),
    )
  })

  it('are turned by rotary positions to the same numbers', () => {
    const half = tinyConfig({ headSize: 8, ropeStyle: 'half' })
    const values = Float32Array.from({ length: 16 }, (_, i) => Math.sin(i))
    const [one, other] = [
      Float64Array.from(values),
      Float64Array.from(reorderHeads(values, { heads: 2, headSize: 8 }, 'interleaved')),
    ]
    applyRope(one, 5, half, 2)
    applyRope(other, 5, { ...half, ropeStyle: 'interleaved' }, 2)
    const back = reorderHeads(Float32Array.from(other), { heads: 2, headSize: 8 }, 'half')
    for (const [i, value] of one.entries()) expect(back[i]).toBeCloseTo(value, 6)
  })

  it('are those of queries and keys alone', () => {
    const config = tinyConfig({ attentionBias: true })
    const names = tensorNames.block(2)
    expect(
      [names.query, names.keyBias, names.value, tensorNames.head].map((name) => orderedHeads(name, config)),
    ).toEqual([4, 2, 0, 0])
  })
})
