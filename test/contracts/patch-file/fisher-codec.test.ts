import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PatchFormatError } from '#contracts/patch-file/errors.ts'
import { decodeFisher, encodedFisherBytes, encodeFisher } from '#contracts/patch-file/fisher-codec.ts'

const fishers = fc
  .array(fc.float({ min: 0, noNaN: true, noDefaultInfinity: true }), { maxLength: 300 })
  .map((values) => Float32Array.from(values))
const back = (fisher: Float32Array) => decodeFisher(encodeFisher(fisher), { entries: fisher.length })
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

describe('the Fisher in eight bits', () => {
  it('takes a byte an entry, and four', () => {
    expect(encodeFisher(new Float32Array(10))).toHaveLength(14)
    expect(encodedFisherBytes(10)).toBe(14)
  })

  it('is within the factor that its range allows', () => {
    fc.assert(
      fc.property(fishers, (fisher) => {
        const seen = [...fisher].filter((value) => value >= 2 ** -126)
        const octaves = Math.log2(Math.max(...seen) / Math.min(...seen))
        const factor = 2 ** (octaves / 508 + 1 / 128) * (1 + 1e-6)
        for (const [i, value] of back(fisher).entries()) {
          const expected = fisher[i] ?? Number.NaN
          if (expected < 2 ** -126) expect(value).toBe(0)
          else expect(Math.max(value / expected, expected / value)).toBeLessThanOrEqual(factor)
        }
      }),
    )
  })

  it('is within 4.7 % when it spans nine orders of magnitude', () => {
    const fisher = Float32Array.from({ length: 10_000 }, (_, i) => 1e-12 * 10 ** ((9 * i) / 9_999))
    const worst = back(fisher).reduce((error, value, i) => Math.max(error, Math.abs(value / (fisher[i] ?? 0) - 1)), 0)
    expect(worst).toBeLessThan(0.047)
  })

  it('keeps zero, and the order of entries', () => {
    fc.assert(
      fc.property(fishers, (fisher) => {
        const sorted = fisher.slice().sort()
        const decoded = back(sorted)
        expect(decoded).toEqual(decoded.slice().sort())
        expect([...decoded].map((value) => value === 0)).toEqual([...sorted].map((value) => value < 2 ** -126))
      }),
    )
    expect(back(new Float32Array(5))).toEqual(new Float32Array(5))
  })

  it('does not change any more once it is rounded, and is written as it was read', () => {
    fc.assert(
      fc.property(fishers, (fisher) => {
        const bytes = encodeFisher(fisher)
        const decoded = decodeFisher(bytes, { entries: fisher.length })
        expect(hex(encodeFisher(decoded))).toBe(hex(bytes))
      }),
    )
  })

  it('has the known bytes', () => {
    expect(hex(encodeFisher(Float32Array.of(0, 1, 3, 4, 1024)))).toBe('0000000500012934ff')
  })

  it('is refused when negative or not finite', () => {
    for (const bad of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => encodeFisher(Float32Array.of(1, bad))).toThrow(PatchFormatError)
    }
  })

  it('is refused when bytes are missing, left over, or have no scale', () => {
    const bytes = encodeFisher(Float32Array.of(1, 2))
    for (const other of [bytes.subarray(1), new Uint8Array(), Uint8Array.of(...bytes, 0)]) {
      expect(() => decodeFisher(other, { entries: 2 })).toThrow(PatchFormatError)
    }
    expect(() => decodeFisher(Uint8Array.of(1, 0, 0, 0, 1), { entries: 1 })).toThrow(/are no scale/)
    expect(() => decodeFisher(Uint8Array.of(0, 0x80, 0, 0, 1), { entries: 1 })).toThrow(/are no scale/)
    expect(() => decodeFisher(bytes, { entries: 2 ** 32 })).toThrow(PatchFormatError)
  })
})
