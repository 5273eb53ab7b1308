import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import { halfTable } from '#core/numerics/half-floats.ts'
import { dequantise, type Quantisation, quantise, quantisedSizes, relayQ40 } from '#engines/shared/quantise.ts'
import { quantise as toGguf } from '#test/helpers/gguf-quantise.ts'

/** (rows, columns) with rows that end within a group, of numbers of very different sizes. */
const matrices = (largest: number) =>
  fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 80 })).chain(([rows, columns]) =>
    fc.record({
      rows: fc.constant(rows),
      columns: fc.constant(columns),
      values: fc.float32Array({
        minLength: rows * columns,
        maxLength: rows * columns,
        min: -largest,
        max: largest,
        noNaN: true,
      }),
    }),
  )

const quantisations: readonly Quantisation[] = [
  { bits: 8, group: 16 },
  { bits: 8, group: 32 },
  { bits: 4, group: 16 },
  { bits: 4, group: 32 },
]
/** The largest power of two that a float32 reaches: a single that fast-check can take as a bound. */
const largest = 2 ** 127
/** Rounding of a float32 product, and groups too small for a scale. */
const slack = (scale: number, code: number) => scale * code * 2 ** -22 + 127 * 2 ** -126

describe.each(quantisations)('weights in $bits bits, groups of $group', (quantisation) => {
  const { bits, group } = quantisation
  const zeroCode = bits === 8 ? 128 : 0x88

  /** Each weight with its group's scale and what it became. */
  function roundTrip(values: Float32Array, rows: number, columns: number) {
    const quantised = quantise(values, rows, columns, quantisation)
    const back = dequantise(quantised, rows, columns, quantisation)
    const groupsPerRow = Math.ceil(columns / group)
    return [...values].map((value, i) => {
      const scale = quantised.scales[Math.floor(i / columns) * groupsPerRow + Math.floor((i % columns) / group)] ?? 0
      return { value, back: back[i] ?? Number.NaN, scale: Math.abs(scale) }
    })
  }

  test('are as many bytes as is said', () => {
    fc.assert(
      fc.property(matrices(1), ({ rows, columns, values }) => {
        const { codes, scales } = quantise(values, rows, columns, quantisation)
        const { groups, codeBytes, scaleBytes } = quantisedSizes(rows, columns, quantisation)
        expect([codes.byteLength, scales.byteLength, scales.length]).toEqual([codeBytes, scaleBytes, groups])
      }),
    )
  })

  test('stay finite, and keep what is zero, whatever their sizes', () => {
    fc.assert(
      fc.property(matrices(largest), ({ rows, columns, values }) => {
        for (const { value, back, scale } of roundTrip(values, rows, columns)) {
          expect(Number.isFinite(back) && Number.isFinite(scale)).toBe(true)
          if (value === 0) expect(back === 0).toBe(true)
        }
      }),
    )
  })

  test('err by no more than rounding to nearest does', () => {
    fc.assert(
      fc.property(matrices(largest), ({ rows, columns, values }) => {
        const all = roundTrip(values, rows, columns)
        if (bits === 8) {
          for (const { value, back, scale } of all) {
            expect(Math.abs(back - value)).toBeLessThanOrEqual(scale / 2 + slack(scale, 127))
          }
        } else expect(squaredError(all)).toBeLessThanOrEqual(plainSquaredError4(values, rows, columns, group) + 1e-70)
      }),
    )
  })

  test('fill a row’s last group up with zeros', () => {
    fc.assert(
      fc.property(matrices(1), ({ rows, columns, values }) => {
        const { codes } = quantise(values, rows, columns, quantisation)
        const rowBytes = codes.length / rows
        const usedBytes = Math.ceil((columns * bits) / 8)
        for (let row = 0; row < rows; row++) {
          const filling = codes.subarray(row * rowBytes + usedBytes, (row + 1) * rowBytes)
          expect(filling.every((code) => code === zeroCode)).toBe(true)
          if (bits === 4 && columns % 2 === 1) expect((codes[row * rowBytes + usedBytes - 1] ?? 0) >> 4).toBe(8)
        }
      }),
    )
  })

  test('of zeros are zeros, of either sign, and so are numbers too small for a scale', () => {
    const values = new Float32Array([0, -0, 2 ** -149, -(2 ** -140), 190 * 2 ** -149, 0, 0, 0])
    const { codes, scales } = quantise(values, 1, values.length, quantisation)
    expect([...scales]).toEqual([0])
    expect(codes.every((code) => code === zeroCode)).toBe(true)
  })

  test('of the largest magnitudes are themselves again, nearly', () => {
    const most = (2 - 2 ** -23) * 2 ** 127
    for (const values of [
      [most, -most, most / 2],
      [-most, -most / 8, most / 3],
    ]) {
      for (const { value, back } of roundTrip(Float32Array.from(values), 1, 3)) {
        expect(Math.abs(back / most - value / most)).toBeLessThan(bits === 8 ? 0.005 : 0.13)
      }
    }
  })
})

describe('GGUF’s Q4_0', () => {
  test('is taken over without changing a number', () => {
    fc.assert(
      fc.property(
        fc
          .integer({ min: 1, max: 4 })
          .chain((rows) =>
            fc.float32Array({ minLength: rows * 64, maxLength: rows * 64, min: -100, max: 100, noNaN: true }),
          ),
        (values) => {
          const bytes = toGguf('Q4_0', values)
          const rows = values.length / 64
          const relayed = dequantise(relayQ40(bytes, halfTable()), rows, 64, { bits: 4, group: 32 })
          expect(relayed).toEqual(decodeFloats('Q4_0', bytes))
        },
      ),
    )
  })
})

function squaredError(weights: readonly { readonly value: number; readonly back: number }[]): number {
  return weights.reduce((sum, { value, back }) => sum + (back - value) ** 2, 0)
}

/** Of the usual rounding, where the extreme becomes -8; plus the float32 rounding of what comes back. */
function plainSquaredError4(values: Float32Array, rows: number, columns: number, group: number): number {
  let sum = 0
  for (let row = 0; row < rows; row++) {
    for (let start = 0; start < columns; start += group) {
      const part = values.subarray(row * columns + start, row * columns + Math.min(columns, start + group))
      const extreme = part.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0)
      const scale = Math.fround(extreme / -8)
      for (const value of part) {
        const code = scale === 0 ? 0 : Math.min(7, Math.max(-8, Math.round(value / scale)))
        const error = Math.abs(code * scale - value) + Math.abs(extreme) * 2 ** -23
        sum += error ** 2
      }
    }
  }
  return sum
}
