import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dot } from '#core/numerics/floats.ts'
import { applyRope, ropeFrequencies } from '#core/numerics/rope.ts'

const shapeOf = (ropeStyle: 'half' | 'interleaved') => ({ headSize: 4, ropeStyle, ropeTheta: 100 }) as const

function turned(x: readonly number[], position: number, ropeStyle: 'half' | 'interleaved'): Float64Array {
  const copy = Float64Array.from(x)
  applyRope(copy, position, shapeOf(ropeStyle), 1)
  return copy
}

describe('applyRope', () => {
  it('slows down from pair to pair', () => {
    const [first, second] = ropeFrequencies(shapeOf('half'))
    expect(first).toBe(1)
    expect(second).toBeCloseTo(0.1, 15)
  })

  it('turns neighbours when interleaved, and elements half a head apart otherwise', () => {
    const [cos, sin] = [Math.cos(2), Math.sin(2)]
    expect([...turned([1, 0, 0, 0], 2, 'interleaved')]).toEqual([cos, sin, 0, 0])
    expect([...turned([1, 0, 0, 0], 2, 'half')]).toEqual([cos, 0, sin, 0])
  })

  it('counts positions by token, not by head', () => {
    const x = Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0) // (2 tokens, 2 heads, 4)
    applyRope(x, 5, shapeOf('half'), 2)
    expect(x.subarray(0, 4)).toEqual(x.subarray(4, 8))
    expect([...x.subarray(8, 12)]).toEqual([...turned([1, 0, 0, 0], 6, 'half')])
  })

  it('keeps lengths, and makes q·k depend on the distance only', () => {
    const vector = fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { minLength: 4, maxLength: 4 })
    const position = fc.integer({ min: 0, max: 200 })
    const style = fc.constantFrom('half', 'interleaved')
    fc.assert(
      fc.property(vector, vector, position, position, style, (q, k, distance, shift, ropeStyle) => {
        const product = (at: number) => dot(turned(q, at + distance, ropeStyle), 0, turned(k, at, ropeStyle), 0, 4)
        expect(product(shift)).toBeCloseTo(product(0), 9)
        const length = (x: Float64Array) => dot(x, 0, x, 0, 4)
        expect(length(turned(q, shift, ropeStyle))).toBeCloseTo(length(Float64Array.from(q)), 9)
      }),
      { numRuns: 100 },
    )
  })
})
