import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  announceSignatureDomain,
  decodeSignedOffer,
  encodeOffer,
  encodeSignedOffer,
  maximumLifetimeMs,
  maximumSignedOfferBytes,
  type OfferMessage,
  offerSigningBytes,
} from '#contracts/wire/announce/messages.ts'
import { encodeMessage } from '#contracts/wire/cbor.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'
import { exampleOffer } from '../examples.ts'

const signature = new Uint8Array(64)
const decoded = (message: unknown) => decodeSignedOffer(encodeSignedOffer(encodeMessage(message), signature)).message

describe('an offer', () => {
  it('comes back as it was said', () => {
    const offers = fc.record({
      addresses: fc.array(fc.string({ minLength: 1, maxLength: 100 }), { maxLength: 8 }),
      span: fc.oneof(
        fc.constant(null),
        fc.nat(1000).map((start) => ({ start, end: start + 1 })),
      ),
      maxLength: fc.integer({ min: 1, max: 1 << 24 }),
      sequence: fc.maxSafeNat().map((number) => Math.max(1, number)),
      lifetimeMs: fc.integer({ min: 1, max: maximumLifetimeMs }),
    })
    fc.assert(
      fc.property(offers, (fields) => {
        const offer: OfferMessage = { ...exampleOffer, ...fields }
        const bytes = encodeSignedOffer(encodeOffer(offer), signature)
        fc.pre(bytes.length <= maximumSignedOfferBytes)
        expect(decodeSignedOffer(bytes).message).toEqual(offer)
      }),
    )
  })

  it.each([
    ['of another version', { version: 2 }, 'version'],
    ['of a peer without a proper id', { peerId: 'somebody' }, 'peerId'],
    ['with nine addresses', { addresses: new Array(9).fill('/ip4/127.0.0.1/tcp/1') }, 'addresses'],
    ['with an endless address', { addresses: ['a'.repeat(161)] }, 'addresses.0'],
    ['of a model without a digest', { modelDigest: 'AB'.repeat(32) }, 'modelDigest'],
    ['of an empty span', { span: { start: 3, end: 3 } }, 'span'],
    ['of more blocks than any model has', { span: { start: 0, end: 5000 } }, 'span.end'],
    ['under a name with hidden characters', { nodeName: 'a\u202Eb' }, 'nodeName'],
    ['with a sequence below one', { sequence: 0 }, 'sequence'],
    ['with a broken sequence', { sequence: 1.5 }, 'sequence'],
    ['for longer than two minutes', { lifetimeMs: maximumLifetimeMs + 1 }, 'lifetimeMs'],
    ['for no time', { lifetimeMs: 0 }, 'lifetimeMs'],
    ['with fields nobody knows', { extra: 1 }, 'announce.offer'],
  ])('%s is refused, and the field is named', (_, fields, where) => {
    expect(() => decoded({ ...exampleOffer, ...fields })).toThrow(ProtocolViolationError)
    expect(() => decoded({ ...exampleOffer, ...fields })).toThrow(where)
  })

  it.each([
    ['with a signature of the wrong length', encodeSignedOffer(encodeOffer(exampleOffer), new Uint8Array(63))],
    ['longer than an offer can be', encodeSignedOffer(new Uint8Array(2100), signature)],
    ['longer than a frame can be', new Uint8Array(maximumSignedOfferBytes + 1)],
    ['without a signature', encodeMessage({ offer: encodeOffer(exampleOffer) })],
  ])('%s is refused', (_, bytes) => {
    expect(() => decodeSignedOffer(bytes)).toThrow(ProtocolViolationError)
  })

  it('of random bytes, or with random bytes changed, is a protocol violation or an offer', () => {
    const good = encodeSignedOffer(encodeOffer(exampleOffer), signature)
    const changed = fc
      .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((changes) => {
        const bytes = good.slice()
        for (const [index, value] of changes) bytes[index] = value
        return bytes
      })
    fc.assert(
      fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 400 })), (bytes) => {
        try {
          expect(decodeSignedOffer(bytes).message.version).toBe(1)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolationError)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('is signed with its domain in front, so that no other signature fits', () => {
    const bytes = offerSigningBytes(Uint8Array.of(7))
    expect(new TextDecoder().decode(bytes)).toBe(`${announceSignatureDomain}\0\u0007`)
  })
})
