/** `directory`: a peer asks another which offers it knows. One question, one answer, then the stream is closed. */
import * as z from 'zod'
import { digestSchema } from '../../digest.ts'
import { maximumLifetimeMs, maximumSignedOfferBytes } from '../announce/messages.ts'
import { byteString, decodeMessage, encodeMessage } from '../cbor.ts'
import { maximumControlBytes } from '../frame.ts'

export const directoryProtocol = '/quiltbee/directory/1.0.0'
export const maximumQuestionBytes = 1024
export const maximumAnswerBytes = maximumControlBytes
export const maximumAnswerOffers = 128

export const questionSchema = z.strictObject({
  type: z.literal('offers?'),
  /** null asks for all models. */
  modelDigest: digestSchema.nullable(),
})
export type Question = Readonly<z.infer<typeof questionSchema>>

export const answerSchema = z.strictObject({
  type: z.literal('offers'),
  offers: z
    .array(
      z.strictObject({
        /** A signed offer as `announce` encodes it. */
        signed: byteString({ maximum: maximumSignedOfferBytes }),
        /** How long the one who answers will still believe it: hearsay can only shorten a life. */
        remainingMs: z.int().min(0).max(maximumLifetimeMs),
      }),
    )
    .max(maximumAnswerOffers),
})
export type Answer = Readonly<z.infer<typeof answerSchema>>

export function encodeQuestion(modelDigest: Question['modelDigest']): Uint8Array {
  return encodeMessage({ type: 'offers?', modelDigest } satisfies Question)
}

export function decodeQuestion(bytes: Uint8Array): Question {
  return decodeMessage(questionSchema, bytes, 'directory.question')
}

/** As many of the offers, in their order, as one frame takes. */
export function encodeAnswer(offers: Answer['offers']): Uint8Array {
  const perOfferBytes = 48
  let left = maximumAnswerBytes - perOfferBytes
  const fitting: Answer['offers'][number][] = []
  for (const offer of offers.slice(0, maximumAnswerOffers)) {
    left -= offer.signed.length + perOfferBytes
    if (left < 0) break
    fitting.push(offer)
  }
  return encodeMessage({ type: 'offers', offers: fitting } satisfies Answer)
}

export function decodeAnswer(bytes: Uint8Array): Answer {
  return decodeMessage(answerSchema, bytes, 'directory.answer')
}
