/** Every offer from outside goes through here, by gossip or directory: size, schema, news, signature, then the book. */
import { RateLimiter } from '@libp2p/utils'
import { decodeSignedOffer, offerSigningBytes } from '#contracts/wire/announce/messages.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'
import type { SignatureVerifier } from '#core/ports/keys.ts'
import { announcementsPerPeer } from './limits.ts'
import type { OfferBook } from './offer-book.ts'

/** `known`: honest, but nothing new. `flood`: the neighbour has used up its share; not looked at. */
export type Verdict = 'news' | 'known' | 'flood' | 'bad'

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
    if (peerId === init.selfId || !book.isNews(peerId, sequence)) return 'known'
    if (!(await verifier.verify(peerId, offerSigningBytes(signed.payload), signed.signature))) return 'bad'
    const news = book.receive({ signed, bytes, source, ...(remainingMs === undefined ? {} : { remainingMs }) })
    if (news) init.onNews()
    return news ? 'news' : 'known'
  }

  return {
    async take(bytes, source, remainingMs) {
      if (!withinAllowance(source)) return 'flood'
      try {
        return await judge(bytes, source, remainingMs)
      } catch (error) {
        if (error instanceof ProtocolViolationError) return 'bad'
        throw error
      }
    },
  }
}
