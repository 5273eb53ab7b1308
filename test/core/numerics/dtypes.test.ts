import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Dtype, dtypeBlocks, storedBytes } from '#contracts/model/manifest.ts'
import { decodeFloats, decodeFloatsInto } from '#core/numerics/dtypes.ts'
import { quantise } from '#test/helpers/gguf-quantise.ts'

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

/** Bytes of one block, zero where nothing is set. Places are offsets in ggml's structures. */
function block(dtype: Dtype, places: Record<number, number>, halves: Record<number, number> = {}): Uint8Array {
  const bytes = new Uint8Array(dtypeBlocks[dtype].bytes)
  for (const [place, byte] of Object.entries(places)) bytes[Number(place)] = byte
  for (const [place, half] of Object.entries(halves)) new DataView(bytes.buffer).setUint16(Number(place), half, true)
  return bytes
}

/** The elements of a decoded block that are not `usual`. */
function unusual(dtype: Dtype, bytes: Uint8Array, usual: number): Record<number, number> {
  return Object.fromEntries([...decodeFloats(dtype, bytes).entries()].filter(([, value]) => value !== usual))
}

const [one, two, half] = [0x3c00, 0x4000, 0x3800]

describe('a quantised block', () => {
  it('of Q8_0 is a scale and 32 signed bytes', () => {
    const bytes = block('Q8_0', { 2: 1, 3: 0xff, 4: 0x7f, 5: 0x80, 33: 3 }, { 0: half })
    expect(unusual('Q8_0', bytes, 0)).toEqual({ 0: 0.5, 1: -0.5, 2: 63.5, 3: -64, 31: 1.5 })
  })

  it('of Q4_0 has its first half in the low nibbles', () => {
    const bytes = block('Q4_0', { 2: 0x8f, 3: 0x08, 17: 0x98 }, { 0: half })
    const found = decodeFloats('Q4_0', bytes)
    expect([found[0], found[16], found[1], found[17], found[15], found[31]]).toEqual([3.5, 0, 0, -4, 0, 0.5])
    expect(found[2]).toBe(-4)
  })

  it('of Q4_1 adds a minimum', () => {
    const bytes = block('Q4_1', { 4: 0xf1, 19: 0x20 }, { 0: half, 2: 0xc000 })
    expect(unusual('Q4_1', bytes, -2)).toEqual({ 0: -1.5, 16: 5.5, 31: -1 })
  })

  it('of Q4_K has a six-bit scale and minimum for each 32 weights', () => {
    // Group 0: scale 63, minimum 1. Group 5: scale 0x2a (4 bits in byte 9, 2 in byte 1), minimum 0x15.
    const scales = { 4: 63, 8: 1, 5: 0b10_000000, 13: 0x5a, 9: 0b01_000000 }
    const bytes = block('Q4_K', { ...scales, 16: 0x0f, 80: 0xf0 }, { 0: one, 2: half })
    const found = decodeFloats('Q4_K', bytes)
    expect([...found.subarray(0, 3)]).toEqual([63 * 15 - 0.5, -0.5, -0.5])
    expect([...found.subarray(32, 34)]).toEqual([0, 0])
    expect([...found.subarray(160, 162)]).toEqual([0x2a * 15 - 0x15 / 2, -0x15 / 2])
    expect(found[128]).toBe(0)
    expect(unusual('Q4_K', block('Q4_K', { 4: 1, 8: 1 }, { 0: one, 2: one }), 0)).toEqual(
      Object.fromEntries(Array.from({ length: 32 }, (_, i) => [i, -1])),
    )
  })

  it('of Q6_K has four bits in one place and two in another, and a scale for each 16 weights', () => {
    const unit = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [192 + i, 1]))
    const bits = { 0: 0x21, 128: 0b11_10_01_00, 33: 0x43, 95: 0x50, 191: 0b10_00_00_00 }
    const bytes = block('Q6_K', { ...unit, 193: 0xfe, ...bits }, { 208: two })
    const found = decodeFloats('Q6_K', bytes)
    // low nibble 1, upper 0 | next byte 0, upper 1 | high nibble 2, upper 2 | next 0, upper 3
    expect([found[0], found[32], found[64], found[96]]).toEqual([
      2 * (1 - 32),
      2 * (16 - 32),
      2 * (34 - 32),
      2 * (48 - 32),
    ])
    expect([found[33], found[97]]).toEqual([2 * (3 - 32), 2 * (4 - 32)])
    expect(found[16]).toBe(2 * -2 * -32)
    expect([found[128 + 31], found[128 + 95], found[128 + 127]]).toEqual([-64, 2 * (5 - 32), 2 * (32 - 32)])
  })

  const steps: [Dtype, number][] = [
    ['Q8_0', 1 / 127],
    ['Q4_0', 1 / 7],
    ['Q4_1', 1 / 7],
    ['Q4_K', 1 / 6],
    ['Q6_K', 1 / 25],
    ['F16', 1 / 2048],
    ['BF16', 1 / 256],
  ]
  it.each(steps)('of %s gives back what was quantised, to within a step', (dtype, step) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1 << 30 }), (seed) => {
        const values = Float32Array.from({ length: 512 }, (_, i) => Math.fround(Math.sin(seed + i * i)))
        const decoded = decodeFloats(dtype, quantise(dtype, values))
        for (const [i, value] of values.entries()) expect(Math.abs((decoded[i] ?? 9) - value)).toBeLessThan(step)
      }),
      { numRuns: 20 },
    )
  })

  it.each(steps)('of %s may lie at an odd place, beside others', (dtype) => {
    const values = Float32Array.from({ length: 768 }, (_, i) => Math.sin(i))
    const bytes = quantise(dtype, values)
    const moved = new Uint8Array(bytes.length + 3)
    moved.set(bytes, 3)
    expect(decodeFloats(dtype, moved.subarray(3))).toEqual(decodeFloats(dtype, bytes))
    const target = new Float32Array(1024).fill(7)
    decodeFloatsInto(target.subarray(100, 868), dtype, bytes)
    expect(target.subarray(100, 868)).toEqual(decodeFloats(dtype, bytes))
    expect([target[99], target[868]]).toEqual([7, 7])
  })

  it.each(steps)('of %s is refused when it is cut', (dtype) => {
    expect(() => decodeFloats(dtype, new Uint8Array(storedBytes(dtype, 256) - 1))).toThrow(RangeError)
  })
})
