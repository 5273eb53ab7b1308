/** Patches among peers: who has which, and their bytes. */
import type { Digest } from '#contracts/digest.ts'

/** A peer's word that it has a patch. Nothing in it is proven before the head has been fetched and verified. */
export interface PatchOffer {
  readonly digest: Digest
  readonly baseDigest: Digest
  readonly sizeBytes: number
  readonly headBytes: number
  /** Peers that say they have it, most recently heard of first. */
  readonly holders: readonly string[]
}

/** What this node offers and serves. */
export interface PatchSource {
  /** Complete patches that are shared. */
  offered(): Promise<readonly Omit<PatchOffer, 'holders'>[]>
  /** Null for a patch that is not offered, or a range outside of it. */
  bytes(digest: Digest, offset: number, length: number): Promise<Uint8Array | null>
}

export interface PatchExchange {
  /** Offers and serves from `source` from now on; null stops both. Call `offersChanged` when `offered()` answers otherwise. */
  serve(source: PatchSource | null): void
  offersChanged(): void
  /** Unexpired offers of other peers, without asking anybody; of every base when null. */
  known(baseDigest: Digest | null): readonly PatchOffer[]
  /** Asks peers and the DHT; resolves when `enough` says so, or after `timeoutMs`, with what is known then. */
  find(
    wanted: { readonly base: Digest } | { readonly patch: Digest },
    options: {
      readonly enough: (offers: readonly PatchOffer[]) => boolean
      readonly timeoutMs: number
      readonly signal?: AbortSignal
    },
  ): Promise<readonly PatchOffer[]>
  /**
   * Bytes [offset, offset + length) as the peer sends them, in pieces of at most 64 KiB; as many as asked for, or it throws.
   * Throws `PeerLostError` when the peer has not got them, is silent, or breaks the protocol.
   */
  fetch(
    peerId: string,
    range: { readonly digest: Digest; readonly offset: number; readonly length: number },
    options?: { readonly signal?: AbortSignal },
  ): AsyncIterable<Uint8Array>
  /** It sent wrong bytes: its offers are forgotten and it is not asked again for a while. */
  reportLiar(peerId: string): void
  /** Called when offers changed (at most a few times a second). -> how to stop listening */
  onChange(listener: () => void): () => void
}
