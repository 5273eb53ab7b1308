import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeFloats, decodeFloatsInto } from '#core/numerics/dtypes.ts'

function bytesOf(...numbers: number[]): Uint8Array {
  return new Uint8Array(Uint16Array.from(numbers).buffer)
}

describe('decodeFloats', () => {
  it('reads halves: signs, subnormals, the largest, infinities and NaN', () => {
    const halves = bytesOf(0x3c00, 0xc000, 0x3555, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x7c00, 0xfc00)
    const expected = [1, -2, 0.333251953125, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 65504, Infinity, -Infinity]
    expect([...decodeFloats('F16', halves)]).toEqual(expected)
    expect(decodeFloats('F16', bytesOf(0x8000))[0]).toBe(-0)
    expect(decodeFloats('F16', bytesOf(0x7e00))[0]).toBeNaN()
  })

  it('reads a bfloat16 as the upper half of a float32', () => {
    expect([...decodeFloats('BF16', bytesOf(0x3f80, 0xc000, 0x7f80))]).toEqual([1, -2, Infinity])
    expect(decodeFloats('BF16', bytesOf(0x4049))[0]).toBe(3.140625)
  })

  it('gives float32 back as it was, wherever the bytes lie in their buffer', () => {
    fc.assert(
      fc.property(fc.float32Array({ maxLength: 20 }), fc.integer({ min: 0, max: 9 }), (floats, offset) => {
        const bytes = new Uint8Array(offset + floats.byteLength)
        bytes.set(new Uint8Array(floats.buffer), offset)
        expect(decodeFloats('F32', bytes.subarray(offset))).toEqual(floats)
      }),
      { numRuns: 50 },
    )
  })

  it('reads 16-bit elements at odd places', () => {
    const bytes = Uint8Array.of(0xff, 0x00, 0x3c)
    expect([...decodeFloats('F16', bytes.subarray(1))]).toEqual([1])
    expect(decodeFloats('BF16', bytes.subarray(1)).length).toBe(1)
  })

  it('refuses bytes that do not fill the target', () => {
    expect(() => decodeFloats('F32', new Uint8Array(5))).toThrow(RangeError)
    expect(() => decodeFloats('F16', new Uint8Array(3))).toThrow(RangeError)
    expect(() => decodeFloatsInto(new Float32Array(2), 'BF16', new Uint8Array(6))).toThrow(RangeError)
  })
})
