/**
 * `patch-fetch`: bytes of a patch. One request, one answer, and when that is yes the bytes in pieces of at most 64 KiB, each
 * a frame; then the stream is closed.
 */
import * as z from 'zod'
import { digestSchema } from '../../digest.ts'
import { decodeMessage, encodeMessage } from '../cbor.ts'

export const patchFetchProtocol = '/quiltbee/patch-fetch/1.0.0'
export const maximumFetchRequestBytes = 1024
export const maximumFetchAnswerBytes = 256
export const maximumPieceBytes = 64 * 1024
/** Of one request. */
export const maximumRangeBytes = 64 * 1024 * 1024

const fetchRequestSchema = z.strictObject({
  type: z.literal('bytes?'),
  digest: digestSchema,
  offset: z.int().min(0),
  length: z.int().min(1).max(maximumRangeBytes),
})
export type FetchRequest = Readonly<z.infer<typeof fetchRequestSchema>>

/** `unknown`: not offered here, or a range outside of it. `busy`: later, or elsewhere. */
const fetchAnswerSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('bytes') }),
  z.strictObject({ type: z.literal('refused'), reason: z.enum(['unknown', 'busy']) }),
])
export type FetchAnswer = Readonly<z.infer<typeof fetchAnswerSchema>>

export function encodeFetchRequest(request: Omit<FetchRequest, 'type'>): Uint8Array {
  return encodeMessage({ type: 'bytes?', ...request } satisfies FetchRequest)
}

/** Throws `ProtocolViolationError`. */
export function decodeFetchRequest(bytes: Uint8Array): FetchRequest {
  return decodeMessage(fetchRequestSchema, bytes, 'patch-fetch.request')
}

export function encodeFetchAnswer(answer: FetchAnswer): Uint8Array {
  return encodeMessage(answer)
}

/** Throws `ProtocolViolationError`. */
export function decodeFetchAnswer(bytes: Uint8Array): FetchAnswer {
  return decodeMessage(fetchAnswerSchema, bytes, 'patch-fetch.answer')
}
