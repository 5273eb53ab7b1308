/**
 * `patch-announce`: a holder's signed, expiring word about patches it has, spread by gossip and handed on by directories.
 * Words add up: each names some of a holder's patches, and says nothing of those it does not name. The signature is over a
 * domain and the payload's bytes as they were sent; see `docs/protocols/patch-exchange.md`.
 */
import * as z from 'zod'
import { digestSchema } from '../../digest.ts'
import { maximumHeadBytes } from '../../patch-file/layout.ts'
import { peerIdSchema } from '../announce/messages.ts'
import { byteString, decodeMessage, encodeMessage } from '../cbor.ts'
import { ProtocolViolationError } from '../violation.ts'

export const patchAnnounceProtocol = '/quiltbee/patch-announce/1.0.0'
export const patchAnnounceSignatureDomain = 'quiltbee/patch-announce/1'

export const maximumAnnouncementBytes = 4096
export const maximumSignedAnnouncementBytes = maximumAnnouncementBytes + 128
export const maximumAnnouncementAddresses = 4
/** Patches of one announcement, offered and withdrawn ones alike. */
export const maximumAnnouncedPatches = 16
export const maximumAnnouncementLifetimeMs = 60 * 60_000

const announcedPatchSchema = z.strictObject({
  digest: digestSchema,
  baseDigest: digestSchema,
  /** Of the whole file, and of what stands before its first section. */
  sizeBytes: z.int().min(1),
  headBytes: z.int().min(1).max(maximumHeadBytes),
})
export type AnnouncedPatch = Readonly<z.infer<typeof announcedPatchSchema>>

export const announcementSchema = z
  .strictObject({
    version: z.literal(1),
    peerId: peerIdSchema,
    addresses: z.array(z.string().min(1).max(160)).max(maximumAnnouncementAddresses),
    offered: z.array(announcedPatchSchema).max(maximumAnnouncedPatches),
    /** No longer to be had from this holder. */
    withdrawn: z.array(digestSchema).max(maximumAnnouncedPatches),
    /** Grows with everything a holder says; of two words about one patch the higher counts. */
    sequence: z.int().min(1),
    lifetimeMs: z.int().min(1).max(maximumAnnouncementLifetimeMs),
  })
  .refine(({ offered }) => offered.every(({ headBytes, sizeBytes }) => headBytes <= sizeBytes), {
    message: 'a head longer than its patch',
  })
export type Announcement = Readonly<z.infer<typeof announcementSchema>>

const signedAnnouncementSchema = z.strictObject({
  announcement: byteString({ maximum: maximumAnnouncementBytes }),
  signature: byteString({ exactly: 64 }),
})

/** What was received, not yet verified: `payload` is what the signature covers. */
export interface SignedAnnouncement {
  readonly message: Announcement
  readonly payload: Uint8Array
  readonly signature: Uint8Array
}

/** The bytes a holder signs: the domain, a zero byte, the payload. */
export function announcementSigningBytes(payload: Uint8Array): Uint8Array {
  const domain = new TextEncoder().encode(`${patchAnnounceSignatureDomain}\0`)
  const bytes = new Uint8Array(domain.length + payload.length)
  bytes.set(domain)
  bytes.set(payload, domain.length)
  return bytes
}

export function encodeAnnouncement(message: Announcement): Uint8Array {
  return encodeMessage(message)
}

export function encodeSignedAnnouncement(payload: Uint8Array, signature: Uint8Array): Uint8Array {
  return encodeMessage({ announcement: payload, signature })
}

/** Throws `ProtocolViolationError`. The signature is not checked here. */
export function decodeSignedAnnouncement(bytes: Uint8Array): SignedAnnouncement {
  if (bytes.length > maximumSignedAnnouncementBytes) {
    throw new ProtocolViolationError('patch-announce', `${bytes.length} bytes`)
  }
  const { announcement: payload, signature } = decodeMessage(signedAnnouncementSchema, bytes, 'patch-announce')
  return { message: decodeMessage(announcementSchema, payload, 'patch-announce.announcement'), payload, signature }
}
