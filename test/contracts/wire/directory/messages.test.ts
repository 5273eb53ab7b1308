import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maximumSignedOfferBytes } from '#contracts/wire/announce/messages.ts'
import { encodeMessage } from '#contracts/wire/cbor.ts'
import {
  decodeAnswer,
  decodeQuestion,
  encodeAnswer,
  encodeQuestion,
  maximumAnswerBytes,
  maximumAnswerOffers,
  maximumQuestionBytes,
} from '#contracts/wire/directory/messages.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'
import { exampleDigest } from '../examples.ts'

const offerOf = (length: number, remainingMs = 1_000) => ({ signed: new Uint8Array(length).fill(7), remainingMs })

describe('the directory', () => {
  it('is asked for one model or all', () => {
    for (const modelDigest of [exampleDigest, null]) {
      const bytes = encodeQuestion(modelDigest)
      expect(decodeQuestion(bytes).modelDigest).toBe(modelDigest)
      expect(bytes.length).toBeLessThanOrEqual(maximumQuestionBytes)
    }
  })

  it('answers with as many offers as one frame takes, the first first', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(maximumSignedOfferBytes), { maxLength: 200 }), (lengths) => {
        const bytes = encodeAnswer(lengths.map((length, index) => offerOf(length, index)))
        expect(bytes.length).toBeLessThanOrEqual(maximumAnswerBytes)
        const { offers } = decodeAnswer(bytes)
        expect(offers.map((offer) => offer.remainingMs)).toEqual(offers.map((_, index) => index))
      }),
      { numRuns: 50 },
    )
    expect(decodeAnswer(encodeAnswer(new Array(300).fill(offerOf(300)))).offers).toHaveLength(maximumAnswerOffers)
  })

  it.each([
    ['a lifetime longer than offers have', { type: 'offers', offers: [{ ...offerOf(1), remainingMs: 120_001 }] }],
    ['a negative lifetime', { type: 'offers', offers: [{ ...offerOf(1), remainingMs: -1 }] }],
    ['an offer too long', { type: 'offers', offers: [offerOf(maximumSignedOfferBytes + 1)] }],
    ['too many offers', { type: 'offers', offers: new Array(maximumAnswerOffers + 1).fill(offerOf(1)) }],
    ['text for bytes', { type: 'offers', offers: [{ signed: 'abc', remainingMs: 1 }] }],
    ['another type', { type: 'offers?', modelDigest: null }],
  ])('is not believed when it answers with %s', (_, answer) => {
    expect(() => decodeAnswer(encodeMessage(answer))).toThrow(ProtocolViolationError)
  })
})
