/** `patch-directory`: a peer asks another who has patches. One question, one answer, then the stream is closed. */
import * as z from 'zod'
import { digestSchema } from '../../digest.ts'
import { byteString, decodeMessage, encodeMessage } from '../cbor.ts'
import { maximumAnnouncementLifetimeMs, maximumSignedAnnouncementBytes } from './announce.ts'

export const patchDirectoryProtocol = '/quiltbee/patch-directory/1.0.0'
export const maximumPatchQuestionBytes = 1024
/** All that a holder offers fits into one answer: 256 patches in 16 announcements. */
export const maximumPatchAnswerBytes = 128 * 1024
export const maximumPatchAnswerAnnouncements = 64

const patchQuestionSchema = z.strictObject({
  type: z.literal('patches?'),
  /** Patches for this base, or this one patch; all of them when both are null. */
  baseDigest: digestSchema.nullable(),
  digest: digestSchema.nullable(),
})
export type PatchQuestion = Readonly<z.infer<typeof patchQuestionSchema>>

const patchAnswerSchema = z.strictObject({
  type: z.literal('patches'),
  announcements: z
    .array(
      z.strictObject({
        /** A signed announcement as `patch-announce` encodes it. */
        signed: byteString({ maximum: maximumSignedAnnouncementBytes }),
        /** How long the one who answers will still believe it: hearsay can only shorten a life. */
        remainingMs: z.int().min(0).max(maximumAnnouncementLifetimeMs),
      }),
    )
    .max(maximumPatchAnswerAnnouncements),
})
export type PatchAnswer = Readonly<z.infer<typeof patchAnswerSchema>>

export function encodePatchQuestion(question: Omit<PatchQuestion, 'type'>): Uint8Array {
  return encodeMessage({ type: 'patches?', ...question } satisfies PatchQuestion)
}

/** Throws `ProtocolViolationError`. */
export function decodePatchQuestion(bytes: Uint8Array): PatchQuestion {
  return decodeMessage(patchQuestionSchema, bytes, 'patch-directory.question')
}

/** As many of the announcements, in their order, as one frame takes. */
export function encodePatchAnswer(announcements: PatchAnswer['announcements']): Uint8Array {
  const perAnnouncementBytes = 48
  let left = maximumPatchAnswerBytes - perAnnouncementBytes
  const fitting: PatchAnswer['announcements'][number][] = []
  for (const announcement of announcements.slice(0, maximumPatchAnswerAnnouncements)) {
    left -= announcement.signed.length + perAnnouncementBytes
    if (left < 0) break
    fitting.push(announcement)
  }
  return encodeMessage({ type: 'patches', announcements: fitting } satisfies PatchAnswer)
}

/** Throws `ProtocolViolationError`. */
export function decodePatchAnswer(bytes: Uint8Array): PatchAnswer {
  return decodeMessage(patchAnswerSchema, bytes, 'patch-directory.answer')
}
