/** Every announcement of patches goes through here, by gossip or directory: size, schema, news, signature, then the book. */
import { RateLimiter } from '@libp2p/utils'
import { announcementSigningBytes, decodeSignedAnnouncement } from '#contracts/wire/patches/announce.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import { patchAnnouncementsPerPeer } from './limits.ts'
import type { Verdict } from './offer-intake.ts'
import type { PatchBook } from './patch-book.ts'

export interface PatchIntake {
  take(bytes: Uint8Array, source: string, remainingMs?: number): Promise<Verdict>
}

export function createPatchIntake(
  components: { readonly book: PatchBook; readonly verifier: SignatureVerifier },
  init: { readonly selfId: string; readonly onNews: () => void },
): PatchIntake {
  const { book, verifier } = components
  const { points, seconds } = patchAnnouncementsPerPeer
  const allowance = new RateLimiter({ points, duration: seconds })

  function withinAllowance(source: string): boolean {
    try {
      allowance.consume(source, 1)
      return true
    } catch {
      return false
    }
  }

  async function judge(bytes: Uint8Array, source: string, remainingMs: number | undefined): Promise<Verdict> {
    const signed = decodeSignedAnnouncement(bytes)
    const { message } = signed
    if (message.peerId === init.selfId || book.isLiar(message.peerId)) return 'old'
    if (!book.isNews(message)) return book.holds(message, bytes) ? 'repeat' : 'old'
    if (remainingMs !== undefined && !withinAllowance(source)) return 'flood'
    const signingBytes = announcementSigningBytes(signed.payload)
    if (!(await verifier.verify(message.peerId, signingBytes, signed.signature))) return 'bad'
    const news = book.receive({ signed, bytes, source, ...(remainingMs === undefined ? {} : { remainingMs }) })
    if (news) init.onNews()
    return news ? 'news' : 'old'
  }

  return {
    async take(bytes, source, remainingMs) {
      // What we asked for is bounded by our asking. What comes by itself costs its decoding, even when it is old.
      if (remainingMs === undefined && !withinAllowance(source)) return 'flood'
      try {
        return await judge(bytes, source, remainingMs)
      } catch (error) {
        if (!(error instanceof ProtocolViolationError)) throw error
        return 'bad'
      }
    },
  }
}
