/**
 * What is known of other peers' offers: one entry a peer, the newest by its own sequence. Expiry runs on this node's
 * monotonic clock from the moment of receipt; hearsay can shorten a life, never lengthen it. Entries outlive a withdrawal or a
 * loss until they expire, so that an older offer heard late does not come back.
 */
import type { Digest } from '#contracts/digest.ts'
import type { SignedOffer } from '#contracts/wire/announce/messages.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { SpanOffer } from '#core/ports/swarm.ts'
import { maxOffers, maxOffersPerModel, maxOffersPerSource } from './limits.ts'

interface Entry {
  readonly signed: SignedOffer
  readonly bytes: Uint8Array
  /** Who told us; the host itself, or a peer passing it on. */
  readonly source: string
  readonly expiresAtMs: number
  readonly lost: boolean
}

export interface HeardOffer {
  /** Already verified. */
  readonly signed: SignedOffer
  readonly bytes: Uint8Array
  readonly source: string
  /** How long the one who told us believes it; absent when it came fresh. */
  readonly remainingMs?: number
}

export interface OfferBook {
  /** Whether an offer of this peer with this sequence would be news. Cheap: asked before verifying. */
  isNews(peerId: string, sequence: number): boolean
  /** Takes a verified offer in; false when it is old, already over, or there is no room for hearsay. */
  receive(heard: HeardOffer): boolean
  offers(modelDigest: Digest): readonly SpanOffer[]
  /** Entries that may be passed on, with what is left of their lives; withdrawals are not. */
  known(modelDigest: Digest | null): readonly { signed: Uint8Array; remainingMs: number }[]
  /** Addresses a peer signed for itself; kept when the peer was lost, for it may come back. */
  addressesOf(peerId: string): readonly string[]
  /** Disbelieves a peer's current offer. True when that changed anything. */
  markLost(peerId: string): boolean
  /** Drops what is over. True when an offer that counted has ended. */
  prune(): boolean
  readonly size: number
}

export function createOfferBook(components: { readonly clock: Clock }): OfferBook {
  const { clock } = components
  const entries = new Map<string, Entry>()

  const isLive = (entry: Entry) => entry.expiresAtMs > clock.monotonicMs()
  const counts = (entry: Entry) => !entry.lost && entry.signed.message.span !== null && isLive(entry)

  function prune(): boolean {
    let changed = false
    for (const [peerId, entry] of entries) {
      if (isLive(entry)) continue
      changed ||= !entry.lost && entry.signed.message.span !== null
      entries.delete(peerId)
    }
    return changed
  }

  /** Room for one more, given up by hearsay if the host itself is talking. */
  function makeRoom(heard: HeardOffer): boolean {
    if (entries.has(heard.signed.message.peerId)) return true
    prune()
    const { modelDigest, peerId } = heard.signed.message
    const all = [...entries]
    const ofModel = all.filter(([, entry]) => entry.signed.message.modelDigest === modelDigest)
    const ofSource = all.filter(([id, entry]) => entry.source === heard.source && id !== entry.source)
    const crowd = all.length >= maxOffers ? all : ofModel.length >= maxOffersPerModel ? ofModel : null
    if (heard.source !== peerId) return crowd === null && ofSource.length < maxOffersPerSource
    if (crowd === null) return true
    const hearsay = crowd.find(([id, entry]) => entry.source !== id)
    return hearsay !== undefined && entries.delete(hearsay[0])
  }

  return {
    isNews: (peerId, sequence) => sequence > (entries.get(peerId)?.signed.message.sequence ?? 0),
    receive(heard) {
      const { peerId, sequence, lifetimeMs } = heard.signed.message
      const remainingMs = Math.min(lifetimeMs, heard.remainingMs ?? lifetimeMs)
      if (remainingMs <= 0 || sequence <= (entries.get(peerId)?.signed.message.sequence ?? 0)) return false
      if (!makeRoom(heard)) return false
      const { signed, bytes, source } = heard
      entries.set(peerId, { signed, bytes, source, expiresAtMs: clock.monotonicMs() + remainingMs, lost: false })
      return true
    },
    offers(modelDigest) {
      const offers: SpanOffer[] = []
      for (const entry of entries.values()) {
        const { peerId, span, maxLength, nodeName, modelDigest: digest } = entry.signed.message
        if (digest !== modelDigest || span === null || !counts(entry)) continue
        offers.push({ peerId, modelDigest, span, maxLength, nodeName, expiresAtMs: entry.expiresAtMs })
      }
      return offers
    },
    known(modelDigest) {
      const now = clock.monotonicMs()
      return [...entries.values()]
        .filter((entry) => counts(entry) && (modelDigest === null || entry.signed.message.modelDigest === modelDigest))
        .map((entry) => ({ signed: entry.bytes, remainingMs: Math.floor(entry.expiresAtMs - now) }))
    },
    addressesOf: (peerId) => entries.get(peerId)?.signed.message.addresses ?? [],
    markLost(peerId) {
      const entry = entries.get(peerId)
      if (entry === undefined || !counts(entry)) return false
      entries.set(peerId, { ...entry, lost: true })
      return true
    },
    prune,
    get size() {
      return entries.size
    },
  }
}
