/**
 * How much a peer may take of us, and how long it may take. Memory a stranger can make us hold is bounded by the product of
 * these; `docs/protocols/limits.md` adds them up.
 */
import { maximumSignedAnnouncementBytes } from '#contracts/wire/patches/announce.ts'

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
/** A frame holds a handful of offers and announcements, or the names of many. */
export const gossipFrames: FrameLimits = {
  maximumBytes: 16 * maximumSignedAnnouncementBytes,
  frames: 2_000,
  seconds: 10,
}

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

/** Announcements of patches of one neighbour, its own and those it passes on, whose signatures are checked. */
export const patchAnnouncementsPerPeer = { points: 200, seconds: 10 } as const
/** A claim is one holder's word about one patch. */
export const maxPatchClaims = 4096
export const maxClaimsPerHolder = 256
export const maxClaimsPerSource = 2048
export const maxHoldersPerPatch = 64
/** Patches this node offers; more than these are kept to itself, the oldest ones. */
export const maxOfferedPatches = maxClaimsPerHolder
/** What a peer that sent wrong bytes says is not heard that long. */
export const liarMs = 30 * 60_000
export const maxLiars = 1024
/** Keys this node provides on the DHT for its patches: each is a walk through the DHT now and then. */
export const maxProvidedPatchKeys = 64

export const maxPatchDirectoryStreams = 4
export const patchQuestionsPerPeer = { points: 20, seconds: 10 } as const
/** More than are served: those beyond are told that this node is busy. */
export const maxFetchStreams = 16
export const maxFetchesPerPeer = 4
export const maxFetches = 32
export const fetchRequestsPerPeer = { points: 400, seconds: 10 } as const

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
  /** The same for a session with patches, which the host may have to fetch. */
  readonly openPatchedMs: number
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
  /** How often the announcements of patches are repeated, and how long they hold without that. */
  readonly patchAnnounceEveryMs: number
  readonly patchLifetimeMs: number
  /** From one piece of a patch to the next, on either side. */
  readonly pieceMs: number
}

export const defaultTimeouts: Timeouts = {
  announceEveryMs: 15_000,
  offerLifetimeMs: 45_000,
  dialMs: 8_000,
  directoryMs: 5_000,
  helloMs: 5_000,
  openMs: 15_000,
  openPatchedMs: 60_000,
  stepMs: 30_000,
  frameMs: 30_000,
  idleSessionMs: 5 * 60_000,
  closeMs: 1_000,
  stopMs: 2_500,
  pingEveryMs: 30_000,
  patchAnnounceEveryMs: 3 * 60_000,
  patchLifetimeMs: 10 * 60_000,
  pieceMs: 10_000,
}
