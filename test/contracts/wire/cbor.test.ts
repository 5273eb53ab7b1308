import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { byteString, decodeMessage, encodeMessage, maximumDepth, maximumItems } from '#contracts/wire/cbor.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'

const decode = (bytes: Uint8Array) => decodeMessage(z.unknown(), bytes, 'test')
const bytes = (...values: number[]) => Uint8Array.from(values)

/** A CBOR head with an eight-byte length. */
function longHead(major: number, length: bigint): Uint8Array {
  const head = new Uint8Array(9)
  head[0] = (major << 5) | 27
  new DataView(head.buffer).setBigUint64(1, length)
  return head
}

describe('decoding a message', () => {
  it('gives back what was encoded', () => {
    const value = fc.dictionary(
      fc.string(),
      fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.uint8Array()),
    )
    fc.assert(
      fc.property(value, (message) => {
        expect(decode(encodeMessage(message))).toEqual({ ...message })
      }),
    )
  })

  it('of random bytes fails with a protocol violation or gives a value with exactly these bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
        try {
          expect(encodeMessage(decode(random))).toEqual(random)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolationError)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it.each([
    ['nothing', bytes(), 'cut short'],
    ['arrays nested 60,000 deep', new Uint8Array(60_000).fill(0x81), 'nested deeper'],
    ['maps nested 60,000 deep', new Uint8Array(60_000).fill(0xa1), 'nested deeper'],
    ['tags nested 60,000 deep', new Uint8Array(60_000).fill(0xd8), 'tag'],
    ['more items than any message has', bytes(0x99, 0x20, 0, ...new Uint8Array(0x2000)), `more than ${maximumItems}`],
    ['an array of 2^32 - 1 items', bytes(0x9a, 255, 255, 255, 255), 'fewer items'],
    ['an array of 2^53 items', longHead(4, 2n ** 53n), 'fewer items'],
    ['a map of 2^64 - 1 entries', longHead(5, 2n ** 64n - 1n), 'fewer items'],
    ['a byte string of 2^53 bytes', longHead(2, 2n ** 53n), 'ends inside a string'],
    ['a text of 2^32 - 1 bytes', bytes(0x7a, 255, 255, 255, 255, 65), 'ends inside a string'],
    ['an array without a length', bytes(0x9f, 0xff), 'without a length'],
    ['a head cut off', bytes(0x19, 1), 'cut short'],
    ['a value and more', bytes(1, 1), 'left over'],
    ['an integer longer than need be', bytes(0x18, 1), 'DAG-CBOR'],
    ['keys out of order', bytes(0xa2, 0x61, 98, 1, 0x61, 97, 1), 'DAG-CBOR'],
    ['a key twice', bytes(0xa2, 0x61, 97, 1, 0x61, 97, 2), 'DAG-CBOR'],
    ['a float of half precision', bytes(0xf9, 0x3c, 0), 'DAG-CBOR'],
    ['undefined', bytes(0xf7), 'DAG-CBOR'],
    ['text that is not UTF-8', bytes(0x61, 0xff), 'DAG-CBOR'],
  ])('refuses %s', (_, hostile, complaint) => {
    expect(() => decode(hostile)).toThrow(ProtocolViolationError)
    expect(() => decode(hostile)).toThrow(complaint)
  })

  it('gives no peer a way to set a prototype', () => {
    const message = encodeMessage(JSON.parse('{"__proto__":{"type":"close"}}'))
    expect(Object.getPrototypeOf(decode(message))).toBe(Object.prototype)
    const schema = z.strictObject({ type: z.literal('close') })
    expect(() => decodeMessage(schema, message, 'test')).toThrow(ProtocolViolationError)
  })

  it(`accepts ${maximumDepth} levels`, () => {
    expect(decode(bytes(0x81, 0x81, 0x81, 0x81, 0x81, 1))).toEqual([[[[[1]]]]])
  })

  it('names the field that does not fit its schema', () => {
    const schema = z.strictObject({ inner: z.strictObject({ key: byteString({ exactly: 2 }) }) })
    const message = encodeMessage({ inner: { key: bytes(1) } })
    expect(() => decodeMessage(schema, message, 'where')).toThrow('where.inner.key: expected 2 bytes')
  })
})
