import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import { valueFormats } from '#contracts/patch-file/header.ts'
import { decodeValues, encodedValueBytes, encodeValues, roundValues } from '#contracts/patch-file/value-codec.ts'

const floats = fc.float32Array({ noNaN: true, noDefaultInfinity: true, maxLength: 200 })
/** What every format can hold. */
const ordinary = fc
  .array(fc.float({ min: -60_000, max: 60_000, noNaN: true }), { maxLength: 200 })
  .map((values) => Float32Array.from(values))
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'))

describe.each(valueFormats)('values as %s', (format) => {
  it('take exactly the bytes that are told', () => {
    for (const entries of [0, 1, 63, 64, 65, 128, 1000]) {
      expect(encodeValues(new Float32Array(entries), format)).toHaveLength(encodedValueBytes(format, entries))
    }
  })

  it('do not change any more once they are rounded, and are written as they were read', () => {
    fc.assert(
      fc.property(ordinary, (values) => {
        const bytes = encodeValues(values, format)
        const rounded = decodeValues(bytes, { format, entries: values.length })
        expect(rounded).toEqual(roundValues(values, format))
        expect(roundValues(rounded, format)).toEqual(rounded)
        expect(hex(encodeValues(rounded, format))).toBe(hex(bytes))
      }),
    )
  })

  it('are refused when not finite, on the way in', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(() => encodeValues(Float32Array.of(1, bad), format)).toThrow(PatchFormatError)
    }
  })

  it('are refused when bytes are missing or left over', () => {
    const bytes = encodeValues(Float32Array.of(1, 2, 3), format)
    for (const other of [bytes.subarray(0, -1), new Uint8Array(), Uint8Array.of(...bytes, 0)]) {
      expect(() => decodeValues(other, { format, entries: 3 })).toThrow(PatchFormatError)
    }
    expect(() => decodeValues(bytes, { format, entries: 2 ** 32 })).toThrow(PatchFormatError)
  })

  it('are finite or refused, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 40, maxLength: 40 }), (random) => {
        const bytes = random.subarray(0, encodedValueBytes(format, 9))
        try {
          const values = decodeValues(bytes, { format, entries: 9 })
          expect(values.every(Number.isFinite)).toBe(true)
          expect(hex(encodeValues(values, format))).toBe(hex(bytes))
        } catch (error) {
          expect(error).toBeInstanceOf(PatchFormatError)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('may lie anywhere in a larger buffer', () => {
    const values = Float32Array.of(0.5, -2, 0.25)
    const bytes = encodeValues(values, format)
    const larger = Uint8Array.of(9, ...bytes, 9)
    const decoded = decodeValues(larger.subarray(1, 1 + bytes.length), { format, entries: 3 })
    expect(decoded).toEqual(roundValues(values, format))
  })
})

describe('float32', () => {
  it('keeps every bit', () => {
    fc.assert(
      fc.property(floats, (values) => {
        expect(roundValues(values, 'float32')).toEqual(values)
      }),
    )
  })
})

describe('float16', () => {
  it('rounds to the nearest, ties to even', () => {
    const cases: readonly (readonly [number, number])[] = [
      [1, 1],
      [1 + 2 ** -11, 1],
      [1 + 3 * 2 ** -11, 1 + 2 ** -9],
      [1 + 2 ** -11 + 2 ** -20, 1 + 2 ** -10],
      [-65_519, -65_504],
      [2 ** -14 - 2 ** -26, 2 ** -14],
      [2 ** -24, 2 ** -24],
      [2 ** -25, 0],
      [3 * 2 ** -26, 2 ** -24],
      [-(2 ** -30), -0],
    ]
    expect([
      ...roundValues(
        Float32Array.from(cases, ([value]) => value),
        'float16',
      ),
    ]).toEqual(cases.map(([, to]) => to))
  })

  it('refuses what would round to infinity', () => {
    expect(() => encodeValues(Float32Array.of(65_520), 'float16')).toThrow(/value 0: 65520 is too large for float16/)
    expect(() => decodeValues(bytesOf('007c'), { format: 'float16', entries: 1 })).toThrow(PatchFormatError)
    expect(() => decodeValues(bytesOf('017e'), { format: 'float16', entries: 1 })).toThrow(PatchFormatError)
  })

  it('reads back each of its 63,488 finite numbers', () => {
    const halves = Uint16Array.from({ length: 65_536 }, (_, bits) => bits).filter((bits) => (bits & 0x7c00) !== 0x7c00)
    const bytes = new Uint8Array(halves.buffer)
    const values = decodeValues(bytes, { format: 'float16', entries: halves.length })
    expect(hex(encodeValues(values, 'float16'))).toBe(hex(bytes))
    expect(values[0x3c00]).toBe(1)
  })
})

describe('bfloat16', () => {
  it('rounds to the nearest, ties to even', () => {
    const values = Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, -(1 + 2 ** -8 + 2 ** -20), 2 ** -133)
    expect([...roundValues(values, 'bfloat16')]).toEqual([1, 1 + 2 ** -6, -(1 + 2 ** -7), 2 ** -133])
  })

  it('refuses what would round to infinity', () => {
    expect(() => encodeValues(Float32Array.of(3.4e38), 'bfloat16')).toThrow(PatchFormatError)
  })
})

describe('int8', () => {
  it('is off by at most half a step of its group', () => {
    fc.assert(
      fc.property(ordinary, (values) => {
        const rounded = roundValues(values, 'int8')
        for (const [i, value] of values.entries()) {
          const group = values.subarray(i - (i % 64), i - (i % 64) + 64)
          const step = group.reduce((largest, other) => Math.max(largest, Math.abs(other)), 0) / 127
          expect(Math.abs((rounded[i] ?? Number.NaN) - value)).toBeLessThanOrEqual(0.502 * step + 2 ** -119)
        }
      }),
    )
  })

  it('takes 8.25 bits a value', () => {
    expect((8 * encodedValueBytes('int8', 6400)) / 6400).toBe(8.25)
  })

  it('keeps the small values of a group without large ones', () => {
    const values = Float32Array.from({ length: 128 }, (_, i) => (i < 64 ? 1000 : 1e-9))
    const rounded = roundValues(values, 'int8')
    expect((rounded[100] ?? 0) / 1e-9).toBeCloseTo(1, 1)
  })

  it('has the known bytes', () => {
    expect(hex(encodeValues(Float32Array.of(1, -0.5, 0), 'int8'))).toBe('013c7fc000')
  })

  it.each([
    ['code -128', '803f80'],
    ['a scale that is not the largest code over 127', '803f01'],
    ['a code without a scale', '00007f'],
    ['a negative scale', '80bf7f'],
    ['an infinite scale', '807f7f'],
    ['a scale below the least normal one', '7f007f'],
  ])('refuses %s', (_, text) => {
    expect(() => decodeValues(bytesOf(text), { format: 'int8', entries: 1 })).toThrow(PatchFormatError)
  })
})
