import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dot } from '#core/numerics/floats.ts'
import { applyRope, rotaryFrequencies } from '#core/numerics/rope.ts'

const shapeOf = (ropeStyle: 'half' | 'interleaved') => ({ headSize: 4, ropeStyle, ropeTheta: 100 }) as const

function turned(x: readonly number[], position: number, ropeStyle: 'half' | 'interleaved'): Float64Array {
  const copy = Float64Array.from(x)
  applyRope(copy, position, shapeOf(ropeStyle), 1)
  return copy
}

describe('applyRope', () => {
  it('slows down from pair to pair', () => {
    const [first, second] = rotaryFrequencies(shapeOf('half'))
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

describe('rotaryFrequencies', () => {
  const shape = { headSize: 64, ropeTheta: 500_000 }
  const plain = rotaryFrequencies(shape)

  it('divides every frequency by the factor when scaled linearly', () => {
    const scaled = rotaryFrequencies({ ...shape, ropeScaling: { kind: 'linear', factor: 4 } })
    expect([...scaled]).toEqual([...plain].map((frequency) => frequency / 4))
  })

  it('turns by a factor less when scaled linearly, as if positions were that much closer', () => {
    const scaled = Float64Array.of(1, 2, 3, 4)
    applyRope(scaled, 12, { ...shapeOf('half'), ropeScaling: { kind: 'linear', factor: 4 } }, 1)
    for (const [i, value] of turned([1, 2, 3, 4], 3, 'half').entries()) expect(scaled[i]).toBeCloseTo(value, 12)
  })

  const llama3 = {
    kind: 'llama3',
    factor: 8,
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
    originalContextLength: 8192,
  } as const

  /** The published code of Llama 3.1, which goes by wavelengths. */
  function published(frequency: number): number {
    const [lowWavelength, highWavelength] = [8192 / 1, 8192 / 4]
    const wavelength = (2 * Math.PI) / frequency
    if (wavelength < highWavelength) return frequency
    if (wavelength > lowWavelength) return frequency / 8
    const smooth = (8192 / wavelength - 1) / (4 - 1)
    return ((1 - smooth) * frequency) / 8 + smooth * frequency
  }

  it('keeps high frequencies, divides low ones and passes smoothly between them for Llama 3', () => {
    const scaled = rotaryFrequencies({ ...shape, ropeScaling: llama3 })
    const kinds = new Set<string>()
    for (const [i, frequency] of plain.entries()) {
      expect(scaled[i]).toBeCloseTo(published(frequency), 15)
      const ratio = frequency / (scaled[i] ?? 0)
      kinds.add(ratio === 1 ? 'kept' : Math.abs(ratio - 8) < 1e-12 ? 'divided' : 'between')
    }
    expect([...kinds]).toEqual(['kept', 'between', 'divided'])
  })

  it.each([
    ['exactly at the upper bound', 4, 1],
    ['just above the upper bound', 4.000001, 1],
    ['halfway between the bounds', 2.5, (1 + 1 / 8) / 2],
    ['exactly at the lower bound', 1, 1 / 8],
    ['just below the lower bound', 0.999999, 1 / 8],
  ])('multiplies a pair that turns %s by what the formula says', (_where, turns, expected) => {
    // The second of two pairs turns by ropeTheta^(-1/2) a position: choose ropeTheta so that it makes so many turns.
    const frequency = (2 * Math.PI * turns) / 8192
    const [first, second] = rotaryFrequencies({ headSize: 4, ropeTheta: frequency ** -2, ropeScaling: llama3 })
    expect(first).toBe(1)
    expect((second ?? 0) / frequency).toBeCloseTo(expected, 9)
  })

  it('never grows and never falls below the factor, for any scaling of Llama 3’s kind', () => {
    const positive = fc.double({ min: 0.01, max: 64, noNaN: true })
    const factors = fc.tuple(positive, positive).filter(([a, b]) => a !== b)
    fc.assert(
      fc.property(
        factors,
        fc.double({ min: 1, max: 64, noNaN: true }),
        fc.integer({ min: 1, max: 1 << 20 }),
        (pair, factor, length) => {
          const [lowFrequencyFactor, highFrequencyFactor] = [Math.min(...pair), Math.max(...pair)]
          const ropeScaling = {
            kind: 'llama3',
            factor,
            lowFrequencyFactor,
            highFrequencyFactor,
            originalContextLength: length,
          } as const
          for (const [i, frequency] of rotaryFrequencies({ ...shape, ropeScaling }).entries()) {
            const ratio = frequency / (plain[i] ?? 0)
            expect(ratio).toBeLessThanOrEqual(1 + 1e-12)
            expect(ratio).toBeGreaterThanOrEqual(1 / factor - 1e-12)
          }
        },
      ),
    )
  })
})
