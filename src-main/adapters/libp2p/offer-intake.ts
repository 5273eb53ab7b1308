/** Every offer from outside goes through here, by gossip or directory: size, schema, news, signature, then the book. */
import { RateLimiter } from '@libp2p/utils'
import { decodeSignedOffer, offerSigningBytes } from '#contracts/wire/announce/messages.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import { announcementsPerPeer } from './limits.ts'
import type { OfferBook } from './offer-book.ts'

/**
 * `repeat`: word for word what is in force, so worth passing on. `old`: a later word is known, or there is no room.
 * `flood`: the neighbour has used up its share; its signature was not looked at.
 */
export type Verdict = 'news' | 'repeat' | 'old' | 'flood' | 'bad'

export interface OfferIntake {
  take(bytes: Uint8Array, source: string, remainingMs?: number): Promise<Verdict>
}

export function createOfferIntake(
  components: { readonly book: OfferBook; readonly verifier: SignatureVerifier },
  init: { readonly selfId: string; readonly onNews: () => void },
): OfferIntake {
  const { book, verifier } = components
  const allowance = new RateLimiter({ points: announcementsPerPeer.points, duration: announcementsPerPeer.seconds })

  function withinAllowance(source: string): boolean {
    try {
      allowance.consume(source, 1)
      return true
    } catch {
      return false
    }
  }

  async function judge(bytes: Uint8Array, source: string, remainingMs: number | undefined): Promise<Verdict> {
    const signed = decodeSignedOffer(bytes)
    const { peerId, sequence } = signed.message
    if (peerId === init.selfId) return 'old'
    if (!book.isNews(peerId, sequence)) return book.holds(peerId, bytes) ? 'repeat' : 'old'
    if (!withinAllowance(source)) return 'flood'
    if (!(await verifier.verify(peerId, offerSigningBytes(signed.payload), signed.signature))) return 'bad'
    const news = book.receive({ signed, bytes, source, ...(remainingMs === undefined ? {} : { remainingMs }) })
    if (news) init.onNews()
    return news ? 'news' : 'old'
  }

  return {
    async take(bytes, source, remainingMs) {
      try {
        return await judge(bytes, source, remainingMs)
      } catch (error) {
        if (!(error instanceof ProtocolViolationError)) throw error
        return withinAllowance(source) ? 'bad' : 'flood'
      }
    },
  }
}
