import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { describe, expect, it } from 'vitest'
import { identityOf } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import {
  decodeSignedOffer,
  encodeOffer,
  encodeSignedOffer,
  offerMessageSchema,
  offerSigningBytes,
} from '#contracts/wire/announce/messages.ts'
import { decodeMessage } from '#contracts/wire/cbor.ts'
import { decodeAnswer, decodeQuestion } from '#contracts/wire/directory/messages.ts'
import { decodeClientControl, decodeHostControl } from '#contracts/wire/inference/messages.ts'
import { decodeTensor } from '#contracts/wire/inference/tensor.ts'
import {
  announcementSchema,
  announcementSigningBytes,
  decodeSignedAnnouncement,
  encodeAnnouncement,
  encodeSignedAnnouncement,
} from '#contracts/wire/patches/announce.ts'
import { decodePatchAnswer, decodePatchQuestion } from '#contracts/wire/patches/directory.ts'
import { decodeFetchAnswer, decodeFetchRequest } from '#contracts/wire/patches/fetch.ts'
import * as examples from './examples.ts'

function golden(name: string): Uint8Array {
  const hex = readFileSync(join(import.meta.dirname, '../../fixtures/wire', `${name}.hex`), 'utf8')
  return Uint8Array.from(Buffer.from(hex.replaceAll('\n', ''), 'hex'))
}

const offerOf = (bytes: Uint8Array) => decodeMessage(offerMessageSchema, bytes, 'offer')

const meanings: Readonly<Record<string, readonly [(bytes: Uint8Array) => unknown, unknown]>> = {
  'announce-offer': [offerOf, examples.exampleOffer],
  'announce-withdrawal': [offerOf, examples.exampleWithdrawal],
  'directory-question-all': [decodeQuestion, { type: 'offers?', modelDigest: null }],
  'directory-question-model': [decodeQuestion, { type: 'offers?', modelDigest: examples.exampleDigest }],
  'directory-answer': [decodeAnswer, { type: 'offers', offers: examples.exampleAnswerOffers }],
  'inference-open': [decodeClientControl, examples.exampleOpen],
  'inference-close': [decodeClientControl, examples.exampleClose],
  'inference-opened': [decodeHostControl, examples.exampleOpened],
  'inference-refused': [decodeHostControl, examples.exampleRefused],
  'inference-error': [decodeHostControl, examples.exampleError],
  'inference-tensor': [(bytes) => decodeTensor(bytes, examples.exampleSession), examples.exampleTensor],
  'patch-announcement': [
    (bytes) => decodeMessage(announcementSchema, bytes, 'announcement'),
    examples.exampleAnnouncement,
  ],
  'patch-directory-question-all': [decodePatchQuestion, { type: 'patches?', baseDigest: null, digest: null }],
  'patch-directory-question-base': [
    decodePatchQuestion,
    { type: 'patches?', baseDigest: examples.exampleDigest, digest: null },
  ],
  'patch-directory-question-patch': [
    decodePatchQuestion,
    { type: 'patches?', baseDigest: null, digest: examples.exampleDigest },
  ],
  'patch-directory-answer': [decodePatchAnswer, { type: 'patches', announcements: examples.examplePatchAnnouncements }],
  'patch-fetch-request': [decodeFetchRequest, { type: 'bytes?', ...examples.exampleRange }],
  'patch-fetch-bytes': [decodeFetchAnswer, { type: 'bytes' }],
  'patch-fetch-refused': [decodeFetchAnswer, { type: 'refused', reason: 'busy' }],
}

describe('the bytes of every message', () => {
  it.each(Object.keys(examples.exampleBytes))('%s are as they have always been', (name) => {
    expect(examples.exampleBytes[name]?.()).toEqual(golden(name))
  })

  it.each(Object.keys(meanings))('%s mean what they have always meant', (name) => {
    const [decode, meaning] = meanings[name] ?? []
    expect(decode?.(golden(name))).toEqual(meaning)
  })

  it('of a signed offer are the payload and an Ed25519 signature over domain and payload', async () => {
    const seed = Uint8Array.from({ length: 32 }, (_, index) => index)
    const identity = identityOf(await generateKeyPairFromSeed('Ed25519', seed))
    const payload = encodeOffer(examples.exampleOffer)
    const signature = await identity.sign(offerSigningBytes(payload))
    expect(encodeSignedOffer(payload, signature)).toEqual(golden('announce-signed-offer'))

    const signed = decodeSignedOffer(golden('announce-signed-offer'))
    expect(signed.message).toEqual(examples.exampleOffer)
    const verifier = createSignatureVerifier()
    expect(await verifier.verify(identity.peerId, offerSigningBytes(signed.payload), signed.signature)).toBe(true)
  })

  it('of a signed announcement are the payload and an Ed25519 signature over domain and payload', async () => {
    const seed = Uint8Array.from({ length: 32 }, (_, index) => index)
    const identity = identityOf(await generateKeyPairFromSeed('Ed25519', seed))
    const payload = encodeAnnouncement(examples.exampleAnnouncement)
    const signature = await identity.sign(announcementSigningBytes(payload))
    expect(encodeSignedAnnouncement(payload, signature)).toEqual(golden('patch-signed-announcement'))

    const signed = decodeSignedAnnouncement(golden('patch-signed-announcement'))
    expect(signed.message).toEqual(examples.exampleAnnouncement)
    const verifier = createSignatureVerifier()
    expect(await verifier.verify(identity.peerId, announcementSigningBytes(signed.payload), signed.signature)).toBe(
      true,
    )
  })
})
