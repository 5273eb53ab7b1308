/**
 * How much a peer may take of us, and how long it may take. Memory a stranger can make us hold is bounded by the product of
 * these; `docs/protocols/limits.md` adds them up.
 */
import { maximumSignedOfferBytes } from '#contracts/wire/announce/messages.ts'

/** Connections and streams; names as in libp2p. */
export const maxConnections = 100
export const maxIncomingPendingConnections = 10
/** New connections from one address. Several nodes of one household or one test machine share an address. */
export const inboundConnectionsPerSecond = 10
export const maxStreamWindowBytes = 1024 * 1024
export const maxInboundStreamsPerConnection = 64

/** What one stream of a library's own protocol may carry; see `stream-guard.ts`. */
export interface FrameLimits {
  readonly maximumBytes: number
  readonly frames: number
  readonly seconds: number
}
export const kadFrames: FrameLimits = { maximumBytes: 256 * 1024, frames: 500, seconds: 10 }
/** A frame holds a handful of offers, or the names of many. */
export const gossipFrames: FrameLimits = { maximumBytes: 16 * maximumSignedOfferBytes, frames: 2_000, seconds: 10 }

/** kad-dht waits ten seconds on each stream before it gives up on a message. */
export const maxKadStreams = 4

export const maxDirectoryStreams = 4
export const directoryQuestionsPerPeer = { points: 20, seconds: 10 } as const

export const maxSessionStreams = 16
export const maxSessionsPerPeer = 8
export const maxSessions = 64

/** What is read ahead of the frame being waited for, before the stream is paused. */
export const readAheadBytes = 64 * 1024

/** Offers of one neighbour, its own and those it passes on, whose signatures are checked. */
export const announcementsPerPeer = { points: 400, seconds: 10 } as const
export const maxOffers = 1024
export const maxOffersPerModel = 256
export const maxOffersPerSource = 256
/** How long the last sequence of a host is remembered after its offer ended: replays are refused that long. */
export const rememberSequenceMs = 10 * 60_000

/** Nodes dialled because someone said they exist, not because they are needed. */
export const enoughConnections = 24

export interface Timeouts {
  /** How often an offer is repeated, and how long it holds without that. */
  readonly announceEveryMs: number
  readonly offerLifetimeMs: number
  readonly dialMs: number
  readonly directoryMs: number
  /** From a new stream to its first message. */
  readonly helloMs: number
  /** From `open` to the host's answer; the host may have to make room first. */
  readonly openMs: number
  /** From a step sent to its result. */
  readonly stepMs: number
  /** From a frame's first byte to its last. */
  readonly frameMs: number
  /** A session without a step for this long is ended by the host. */
  readonly idleSessionMs: number
  /** How long the other side has to finish a stream that we closed. */
  readonly closeMs: number
  readonly stopMs: number
  readonly pingEveryMs: number
}

export const defaultTimeouts: Timeouts = {
  announceEveryMs: 15_000,
  offerLifetimeMs: 45_000,
  dialMs: 8_000,
  directoryMs: 5_000,
  helloMs: 5_000,
  openMs: 15_000,
  stepMs: 30_000,
  frameMs: 30_000,
  idleSessionMs: 5 * 60_000,
  closeMs: 1_000,
  stopMs: 2_500,
  pingEveryMs: 30_000,
}
