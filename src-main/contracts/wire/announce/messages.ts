/**
 * `announce`: a host's signed, expiring word about the span it hosts, spread by gossip and handed on by directories. The
 * signature is over a domain and the payload's bytes as they were sent; see `docs/protocols/announce.md`.
 */
import * as z from 'zod'
import { digestSchema } from '../../digest.ts'
import { spanSchema } from '../../span.ts'
import { byteString, decodeMessage, encodeMessage } from '../cbor.ts'
import { ProtocolViolationError } from '../violation.ts'
import { nodeNameSchema } from './node-name.ts'

export const announceProtocol = '/quiltbee/announce/1.0.0'
export const announceSignatureDomain = 'quiltbee/announce/1'

export const maximumOfferBytes = 2048
export const maximumSignedOfferBytes = maximumOfferBytes + 128
export const maximumOfferAddresses = 8
export const maximumLifetimeMs = 120_000

/** Base58 of an identity multihash or SHA-256 multihash. */
export const peerIdSchema = z.string().regex(/^[1-9A-HJ-NP-Za-km-z]{40,64}$/, 'expected a peer id in base58')

export const offerMessageSchema = z.strictObject({
  version: z.literal(1),
  peerId: peerIdSchema,
  addresses: z.array(z.string().min(1).max(160)).max(maximumOfferAddresses),
  modelDigest: digestSchema,
  /** null: the host no longer offers anything. */
  span: spanSchema.nullable(),
  maxLength: z
    .int()
    .min(1)
    .max(1 << 24),
  nodeName: nodeNameSchema,
  /** Grows with everything a host says; a lower or equal one is old news. */
  sequence: z.int().min(1),
  /** The host's own clock: for people, never for decisions. */
  issuedAtMs: z.int().min(0),
  lifetimeMs: z.int().min(1).max(maximumLifetimeMs),
})
export type OfferMessage = Readonly<z.infer<typeof offerMessageSchema>>

const signedOfferSchema = z.strictObject({
  offer: byteString({ maximum: maximumOfferBytes }),
  signature: byteString({ exactly: 64 }),
})

/** What was received, not yet verified: `payload` is what the signature covers. */
export interface SignedOffer {
  readonly message: OfferMessage
  readonly payload: Uint8Array
  readonly signature: Uint8Array
}

/** The bytes a host signs: the domain, a zero byte, the payload. */
export function offerSigningBytes(payload: Uint8Array): Uint8Array {
  const domain = new TextEncoder().encode(`${announceSignatureDomain}\0`)
  const bytes = new Uint8Array(domain.length + payload.length)
  bytes.set(domain)
  bytes.set(payload, domain.length)
  return bytes
}

export function encodeOffer(message: OfferMessage): Uint8Array {
  return encodeMessage(message)
}

export function encodeSignedOffer(payload: Uint8Array, signature: Uint8Array): Uint8Array {
  return encodeMessage({ offer: payload, signature })
}

/** Throws `ProtocolViolationError`. The signature is not checked here. */
export function decodeSignedOffer(bytes: Uint8Array): SignedOffer {
  if (bytes.length > maximumSignedOfferBytes) throw new ProtocolViolationError('announce', `${bytes.length} bytes`)
  const { offer: payload, signature } = decodeMessage(signedOfferSchema, bytes, 'announce')
  return { message: decodeMessage(offerMessageSchema, payload, 'announce.offer'), payload, signature }
}
