/**
 * What is known of other peers' offers: one entry a peer, the newest by its own sequence. Expiry runs on this node's
 * monotonic clock from the moment of receipt; hearsay can shorten a life, never lengthen it. Entries stay for a while when
 * their offer is withdrawn, lost or over, so that an older word heard late does not bring it back.
 */
import type { Digest } from '#contracts/digest.ts'
import type { SignedOffer } from '#contracts/wire/announce/messages.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { SpanOffer } from '#core/ports/swarm.ts'
import { maxOffers, maxOffersPerModel, maxOffersPerSource, rememberSequenceMs } from './limits.ts'

interface Entry {
  readonly signed: SignedOffer
  readonly bytes: Uint8Array
  /** Who told us; the host itself, or a peer passing it on. */
  readonly source: string
  readonly expiresAtMs: number
  readonly lost: boolean
  /** Its end has been told. */
  readonly over: boolean
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
  /** Whether these bytes are what is in force for the peer. */
  holds(peerId: string, bytes: Uint8Array): boolean
  /** Takes a verified offer in; false when it is old, already over, or there is no room for hearsay. */
  receive(heard: HeardOffer): boolean
  offers(modelDigest: Digest): readonly SpanOffer[]
  /** Entries that may be passed on, with what is left of their lives; withdrawals are not. */
  known(modelDigest: Digest | null): readonly { signed: Uint8Array; remainingMs: number }[]
  /** Addresses a peer signed for itself; kept when the peer was lost, for it may come back. */
  addressesOf(peerId: string): readonly string[]
  /** Disbelieves a peer's current offer. True when that changed anything. */
  markLost(peerId: string): boolean
  /** Forgets what ended long ago. True when an offer that counted has ended since the last time. */
  prune(): boolean
  readonly size: number
}

export function createOfferBook(components: { readonly clock: Clock }): OfferBook {
  const { clock } = components
  const entries = new Map<string, Entry>()

  const isLive = (entry: Entry) => entry.expiresAtMs > clock.monotonicMs()
  const counts = (entry: Entry) => !entry.lost && entry.signed.message.span !== null && isLive(entry)

  function prune(): boolean {
    const now = clock.monotonicMs()
    let changed = false
    for (const [peerId, entry] of entries) {
      if (!entry.over && !isLive(entry)) {
        changed ||= !entry.lost && entry.signed.message.span !== null
        entries.set(peerId, { ...entry, over: true })
      }
      if (entry.expiresAtMs + rememberSequenceMs <= now) entries.delete(peerId)
    }
    return changed
  }

  /** Room for one more: what is over goes first, then hearsay if it is the host itself that talks. */
  function makeRoom({ signed, source }: HeardOffer): boolean {
    const { modelDigest, peerId } = signed.message
    if (entries.has(peerId)) return true
    const isHearsay = source !== peerId
    return (
      within(maxOffers, isHearsay, () => true) &&
      within(maxOffersPerModel, isHearsay, (_, entry) => entry.signed.message.modelDigest === modelDigest) &&
      (!isHearsay || within(maxOffersPerSource, true, (id, entry) => entry.source === source && id !== source))
    )
  }

  function within(maximum: number, isHearsay: boolean, belongs: (peerId: string, entry: Entry) => boolean): boolean {
    const crowd = [...entries].filter(([id, entry]) => belongs(id, entry))
    if (crowd.length < maximum) return true
    const gives = crowd.find(([, entry]) => !isLive(entry)) ?? crowd.find(([id, entry]) => entry.source !== id)
    if (gives === undefined || (isHearsay && isLive(gives[1]))) return false
    return entries.delete(gives[0])
  }

  return {
    isNews: (peerId, sequence) => sequence > (entries.get(peerId)?.signed.message.sequence ?? 0),
    holds(peerId, bytes) {
      const entry = entries.get(peerId)
      return entry !== undefined && isLive(entry) && sameBytes(entry.bytes, bytes)
    },
    receive(heard) {
      const { peerId, sequence, lifetimeMs } = heard.signed.message
      const remainingMs = Math.min(lifetimeMs, heard.remainingMs ?? lifetimeMs)
      if (remainingMs <= 0 || sequence <= (entries.get(peerId)?.signed.message.sequence ?? 0)) return false
      if (!makeRoom(heard)) return false
      const { signed, bytes, source } = heard
      const expiresAtMs = clock.monotonicMs() + remainingMs
      entries.set(peerId, { signed, bytes, source, expiresAtMs, lost: false, over: false })
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

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
