/**
 * The other machines, in the domain's words: who offers which blocks, and sessions through them. How they are found and
 * reached (libp2p) is the adapter's business.
 */
import type { Digest } from '#contracts/digest.ts'
import type { Span } from '#contracts/span.ts'

/** A peer's signed, expiring word that it hosts a span. The adapter has checked the signature before the core sees it. */
export interface SpanOffer {
  readonly peerId: string
  readonly modelDigest: Digest
  readonly span: Span
  /** Longest session it accepts, in positions. */
  readonly maxLength: number
  /** Name the owner gave the node; untrusted text, at most 64 characters. */
  readonly nodeName: string
  /** When the offer ends, on this node's monotonic clock. */
  readonly expiresAtMs: number
}

export interface SessionRequest {
  readonly sessionId: string
  readonly modelDigest: Digest
  readonly span: Span
  readonly maxLength: number
  readonly hiddenSize: number
  /** Applied together, in this session only; left out when there are none. */
  readonly patches?: readonly Digest[]
}

/** A session on a peer, as the client holds it. */
export interface RemoteSession {
  readonly peerId: string
  readonly span: Span
  readonly bytesSent: number
  readonly bytesReceived: number
  /**
   * Runs `hidden` (tokens, hiddenSize) at `position`. Throws `PeerLostError` when the peer is gone, silent or breaks the
   * protocol; a session that threw is closed.
   */
  forward(hidden: Float32Array, position: number, options?: { signal?: AbortSignal }): Promise<Float32Array>
  /** Tells the peer that the session is over. Never throws; idempotent. */
  close(): Promise<void>
}

/** What a host does for peers. The adapter calls it after the message has passed its schema and size limits. */
export interface SpanHost {
  /** Throws `SessionRefusedError` when the request cannot be served. */
  open(peerId: string, request: SessionRequest): Promise<HostedSession>
}

export interface HostedSession {
  forward(hidden: Float32Array, position: number, options: { signal: AbortSignal }): Promise<Float32Array>
  /** Called exactly once, however the session ends, with the bytes of its stream. */
  ended(
    how: 'completed' | 'interrupted' | 'failed',
    traffic: { bytesReceived: number; bytesSent: number },
  ): Promise<void>
  /** Byte counts so far, called now and then for the journal. */
  progressed?(traffic: { bytesReceived: number; bytesSent: number }): void
}

export interface ConnectedPeer {
  readonly peerId: string
  readonly addresses: readonly string[]
  readonly direction: 'inbound' | 'outbound'
  readonly rttMs: number | null
}

export interface Swarm {
  readonly selfId: string
  /** Addresses on which this node can be reached now. */
  addresses(): readonly string[]
  peers(): readonly ConnectedPeer[]
  /** Replaces what this node offers; null withdraws it and tells the swarm at once. */
  offer(offer: Omit<SpanOffer, 'peerId' | 'expiresAtMs'> | null): Promise<void>
  /** Unexpired offers of other peers known now, without asking anybody. */
  knownOffers(modelDigest: Digest): readonly SpanOffer[]
  /**
   * Asks connected peers, the DHT and the LAN; resolves as soon as `enough` says so, or when `timeoutMs` is over, with
   * what is known then.
   */
  findOffers(
    modelDigest: Digest,
    options: { enough: (offers: readonly SpanOffer[]) => boolean; timeoutMs: number; signal?: AbortSignal },
  ): Promise<readonly SpanOffer[]>
  /** Measured round-trip time to a peer, null when never measured. */
  rttMs(peerId: string): number | null
  /** Forget a peer's offers until it makes a new one: it failed us. */
  reportLost(peerId: string): void
  openSession(peerId: string, request: SessionRequest, options?: { signal?: AbortSignal }): Promise<RemoteSession>
  /** Answers peers with `host` from now on; null refuses all sessions and ends those open. */
  serve(host: SpanHost | null): void
  /** Called when peers or offers changed (at most a few times a second). Returns how to stop listening. */
  onChange(listener: () => void): () => void
  start(): Promise<void>
  stop(): Promise<void>
}
