/** Signed offers as an honest host, or one that is not, would make them. */
import { createMemoryIdentity, type KeyedIdentity } from '#adapters/keys/identity.ts'
import { digestSchema } from '#contracts/digest.ts'
import {
  decodeSignedOffer,
  encodeOffer,
  encodeSignedOffer,
  type OfferMessage,
  offerSigningBytes,
} from '#contracts/wire/announce/messages.ts'

export const testModel = digestSchema.parse('ab'.repeat(32))

export function offerBy(identity: KeyedIdentity, fields: Partial<OfferMessage> = {}): OfferMessage {
  return {
    version: 1,
    peerId: identity.peerId,
    addresses: [],
    modelDigest: testModel,
    span: { start: 0, end: 2 },
    maxLength: 512,
    nodeName: 'a test',
    sequence: 1,
    issuedAtMs: 0,
    lifetimeMs: 45_000,
    ...fields,
  }
}

export async function signedBy(identity: KeyedIdentity, fields: Partial<OfferMessage> = {}): Promise<Uint8Array> {
  const payload = encodeOffer(offerBy(identity, fields))
  return encodeSignedOffer(payload, await identity.sign(offerSigningBytes(payload)))
}

/** As the book gets it, after verification. */
export async function heardFrom(identity: KeyedIdentity, fields: Partial<OfferMessage> = {}, source = identity.peerId) {
  const bytes = await signedBy(identity, fields)
  return { signed: decodeSignedOffer(bytes), bytes, source }
}

export async function identities(count: number): Promise<KeyedIdentity[]> {
  return await Promise.all(Array.from({ length: count }, createMemoryIdentity))
}
