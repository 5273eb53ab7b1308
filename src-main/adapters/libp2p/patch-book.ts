/**
 * What is known of other peers' patches: one claim for each holder and patch, the newest by the holder's own sequence.
 * Claims of one patch that contradict each other (another base, another size) stay apart: one of them lies, and a liar must
 * not be able to talk a patch away. Expiry runs on this node's monotonic clock from the moment of receipt; hearsay can
 * shorten a life, never lengthen it. A claim stays for a while when it is withdrawn, lost or over, so that an older word
 * heard late does not bring it back.
 */
import type { Digest } from '#contracts/digest.ts'
import type { AnnouncedPatch, SignedAnnouncement } from '#contracts/wire/patches/announce.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { PatchOffer } from '#core/ports/patch-exchange.ts'
import {
  liarMs,
  maxClaimsPerHolder,
  maxClaimsPerSource,
  maxHoldersPerPatch,
  maxLiars,
  maxPatchClaims,
  rememberSequenceMs,
} from './limits.ts'

interface Claim {
  readonly holder: string
  readonly digest: Digest
  /** Null: withdrawn. */
  readonly patch: AnnouncedPatch | null
  readonly sequence: number
  readonly bytes: Uint8Array
  readonly addresses: readonly string[]
  /** Who told us; the holder itself, or a peer passing it on. */
  readonly source: string
  readonly heardAtMs: number
  readonly expiresAtMs: number
  /** The holder failed us. */
  readonly lost: boolean
  /** Its end has been told. */
  readonly over: boolean
}

type Wanted = { readonly baseDigest: Digest | null; readonly digest: Digest | null }

export interface HeardAnnouncement {
  /** Already verified. */
  readonly signed: SignedAnnouncement
  readonly bytes: Uint8Array
  readonly source: string
  /** How long the one who told us believes it; absent when it came fresh. */
  readonly remainingMs?: number
}

export interface PatchBook {
  /** Whether the announcement says anything that is not known. Cheap: asked before verifying. */
  isNews(message: SignedAnnouncement['message']): boolean
  /** Whether these bytes are what is in force for some patch of the holder. */
  holds(message: SignedAnnouncement['message'], bytes: Uint8Array): boolean
  /** Takes a verified announcement in; false when nothing of it is news, or there is no room. */
  receive(heard: HeardAnnouncement): boolean
  offers(wanted: Wanted): readonly PatchOffer[]
  /** Announcements that may be passed on, with what is left of their lives. */
  known(wanted: Wanted): readonly { signed: Uint8Array; remainingMs: number }[]
  /** Addresses a holder signed for itself. */
  addressesOf(peerId: string): readonly string[]
  /** Disbelieves all claims of a holder, or the one. True when that changed anything. */
  markLost(peerId: string, digest?: Digest): boolean
  /** Forgets a peer's claims and does not hear it for a while. */
  markLiar(peerId: string): void
  isLiar(peerId: string): boolean
  /** Forgets what ended long ago. True when a claim that counted has ended since the last time. */
  prune(): boolean
  readonly size: number
}

export function createPatchBook(components: { readonly clock: Clock }): PatchBook {
  const { clock } = components
  const byHolder = new Map<string, Map<Digest, Claim>>()
  const byPatch = new Map<Digest, Map<string, Claim>>()
  const fromSource = new Map<string, number>()
  const liars = new Map<string, number>()
  let size = 0

  const isLive = (claim: Claim) => claim.expiresAtMs > clock.monotonicMs()
  const counts = (claim: Claim) => claim.patch !== null && !claim.lost && isLive(claim)

  function put(claim: Claim): void {
    remove(claim.holder, claim.digest)
    inner(byHolder, claim.holder).set(claim.digest, claim)
    inner(byPatch, claim.digest).set(claim.holder, claim)
    fromSource.set(claim.source, (fromSource.get(claim.source) ?? 0) + 1)
    size += 1
  }

  function remove(holder: string, digest: Digest): void {
    const claim = byHolder.get(holder)?.get(digest)
    if (claim === undefined) return
    removeInner(byHolder, holder, digest)
    removeInner(byPatch, digest, holder)
    const left = (fromSource.get(claim.source) ?? 1) - 1
    if (left === 0) fromSource.delete(claim.source)
    else fromSource.set(claim.source, left)
    size -= 1
  }

  function* claims(): Generator<Claim> {
    for (const own of byHolder.values()) yield* own.values()
  }

  function* matching({ baseDigest, digest }: Wanted): Generator<Claim> {
    const candidates = digest === null ? claims() : (byPatch.get(digest)?.values() ?? [])
    for (const claim of candidates) {
      if (counts(claim) && (baseDigest === null || claim.patch?.baseDigest === baseDigest)) yield claim
    }
  }

  /** Room for one more: what is over goes first, then hearsay if it is the holder itself that talks. */
  function makeRoom(holder: string, digest: Digest, source: string): boolean {
    const own = byHolder.get(holder)
    if (own?.has(digest)) return true
    const isHearsay = source !== holder
    if ((own?.size ?? 0) >= maxClaimsPerHolder && !dropDead(own?.values() ?? [])) return false
    const rivals = byPatch.get(digest)
    if ((rivals?.size ?? 0) >= maxHoldersPerPatch && !dropDead(rivals?.values() ?? [])) return false
    if (isHearsay && (fromSource.get(source) ?? 0) >= maxClaimsPerSource) return false
    if (size < maxPatchClaims || dropDead(claims())) return true
    return !isHearsay && dropFirst(claims(), (claim) => claim.source !== claim.holder)
  }

  const dropDead = (from: Iterable<Claim>) => dropFirst(from, (claim) => !counts(claim))

  function dropFirst(from: Iterable<Claim>, gives: (claim: Claim) => boolean): boolean {
    for (const claim of from) {
      if (!gives(claim)) continue
      remove(claim.holder, claim.digest)
      return true
    }
    return false
  }

  const isNewer = (holder: string, digest: Digest, sequence: number) =>
    sequence > (byHolder.get(holder)?.get(digest)?.sequence ?? 0)

  function isLiar(peerId: string): boolean {
    const until = liars.get(peerId)
    if (until !== undefined && until <= clock.monotonicMs()) liars.delete(peerId)
    return liars.has(peerId)
  }

  return {
    isNews: (message) =>
      named(message).some(({ digest, patch }) => {
        const known = byHolder.get(message.peerId)?.get(digest)
        // A withdrawal of what was never known here is nothing to keep.
        return known === undefined ? patch !== null : message.sequence > known.sequence
      }),
    holds: ({ peerId, offered }, bytes) =>
      offered.some(({ digest }) => {
        const claim = byHolder.get(peerId)?.get(digest)
        return claim !== undefined && isLive(claim) && sameBytes(claim.bytes, bytes)
      }),
    receive({ signed: { message }, bytes, source, remainingMs }) {
      const { peerId: holder, sequence, addresses, lifetimeMs } = message
      const life = Math.min(lifetimeMs, remainingMs ?? lifetimeMs)
      if (life <= 0 || isLiar(holder)) return false
      const heardAtMs = clock.monotonicMs()
      const fixed = { holder, sequence, bytes, addresses, source, heardAtMs, expiresAtMs: heardAtMs + life }
      let news = false
      for (const { digest, patch } of named(message)) {
        if (patch === null && !byHolder.get(holder)?.has(digest)) continue
        if (!isNewer(holder, digest, sequence) || !makeRoom(holder, digest, source)) continue
        put({ ...fixed, digest, patch, lost: false, over: patch === null })
        news = true
      }
      return news
    },
    offers(wanted) {
      const groups = Map.groupBy(matching(wanted), ({ patch }) => factsOf(patch))
      return [...groups.values()].flatMap(([first, ...others]) => {
        if (first === undefined || first.patch === null) return []
        const holders = [first, ...others].sort((a, b) => b.heardAtMs - a.heardAtMs).map(({ holder }) => holder)
        const { digest, baseDigest, sizeBytes, headBytes } = first.patch
        return [{ digest, baseDigest, sizeBytes, headBytes, holders }]
      })
    },
    known(wanted) {
      const now = clock.monotonicMs()
      const announcements = new Map<Uint8Array, number>()
      for (const { bytes, expiresAtMs } of matching(wanted)) announcements.set(bytes, expiresAtMs - now)
      return [...announcements].map(([signed, remainingMs]) => ({ signed, remainingMs: Math.floor(remainingMs) }))
    },
    addressesOf(peerId) {
      let newest: Claim | undefined
      for (const claim of byHolder.get(peerId)?.values() ?? []) {
        if (newest === undefined || claim.sequence > newest.sequence) newest = claim
      }
      return newest?.addresses ?? []
    },
    markLost(peerId, digest) {
      let changed = false
      for (const claim of [...(byHolder.get(peerId)?.values() ?? [])]) {
        if (!counts(claim) || (digest !== undefined && claim.digest !== digest)) continue
        put({ ...claim, lost: true, over: true })
        changed = true
      }
      return changed
    },
    markLiar(peerId) {
      for (const { digest } of [...(byHolder.get(peerId)?.values() ?? [])]) remove(peerId, digest)
      const [oldest] = liars.keys()
      if (liars.size >= maxLiars && oldest !== undefined) liars.delete(oldest)
      liars.delete(peerId)
      liars.set(peerId, clock.monotonicMs() + liarMs)
    },
    isLiar,
    prune() {
      const now = clock.monotonicMs()
      let changed = false
      for (const claim of [...claims()]) {
        if (claim.expiresAtMs + rememberSequenceMs <= now) remove(claim.holder, claim.digest)
        else if (!claim.over && !isLive(claim)) put({ ...claim, over: true })
        else continue
        changed ||= !claim.over
      }
      return changed
    },
    get size() {
      return size
    },
  }
}

function named({ offered, withdrawn }: SignedAnnouncement['message']) {
  return [
    ...offered.map((patch) => ({ digest: patch.digest, patch })),
    ...withdrawn.map((digest) => ({ digest, patch: null })),
  ]
}

function factsOf(patch: AnnouncedPatch | null): string {
  return patch === null ? '' : `${patch.digest} ${patch.baseDigest} ${patch.sizeBytes} ${patch.headBytes}`
}

function inner<A, B, V>(map: Map<A, Map<B, V>>, key: A): Map<B, V> {
  const found = map.get(key) ?? new Map<B, V>()
  map.set(key, found)
  return found
}

function removeInner<A, B, V>(map: Map<A, Map<B, V>>, key: A, innerKey: B): void {
  const found = map.get(key)
  found?.delete(innerKey)
  if (found?.size === 0) map.delete(key)
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
