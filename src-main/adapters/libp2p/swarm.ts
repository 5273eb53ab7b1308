/**
 * The `Swarm` port over libp2p. Offers travel by gossip and directories, hosts of a model are also found on the DHT and the
 * LAN, and every session is one stream to its host. `docs/protocols/` describes what goes over the wire.
 */
import type { Connection, Ed25519PrivateKey, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Digest } from '#contracts/digest.ts'
import { CodedError } from '#contracts/errors.ts'
import { announceProtocol } from '#contracts/wire/announce/messages.ts'
import { directoryProtocol } from '#contracts/wire/directory/messages.ts'
import { inferenceProtocol } from '#contracts/wire/inference/messages.ts'
import { PeerLostError } from '#core/errors.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Identity, SignatureVerifier } from '#core/ports/keys.ts'
import type { PatchExchange } from '#core/ports/patch-exchange.ts'
import type { Swarm } from '#core/ports/swarm.ts'
import { asError } from './as-error.ts'
import { createChangeSignal } from './change-signal.ts'
import { openClientSession } from './client-session.ts'
import { dialableAddresses } from './dialable-addresses.ts'
import { createDirectory } from './directory.ts'
import { createHostedSessions } from './hosted-sessions.ts'
import { defaultTimeouts, maxDirectoryStreams, maxSessionStreams, type Timeouts } from './limits.ts'
import { type Log, silentLog } from './log.ts'
import { createModelSearch } from './model-search.ts'
import { createNeighbours } from './neighbours.ts'
import { createSwarmNode, type SwarmNode } from './node.ts'
import { createOfferBook } from './offer-book.ts'
import { createOfferIntake } from './offer-intake.ts'
import { createOwnOffer } from './own-offer.ts'
import { createLibp2pPatchExchange } from './patch-exchange.ts'
import { verdictResults } from './verdict-results.ts'
import { waitForOffers } from './wait-for-offers.ts'

export interface Libp2pSwarmComponents {
  readonly identity: Identity & { readonly privateKey: Ed25519PrivateKey }
  readonly verifier: SignatureVerifier
  readonly clock: Clock
  readonly log?: Log
}

export interface Libp2pSwarmInit {
  /** Multiaddrs to listen on; none for a client that only asks. */
  readonly listen: readonly string[]
  /** Multiaddrs of nodes to know first, with or without `/p2p/…`. */
  readonly bootstrap: readonly string[]
  readonly mdns: boolean
  readonly dht: boolean
  readonly timeouts?: Partial<Timeouts>
}

/** One node in the swarm, and what it exchanges with others besides sessions. */
export type Libp2pSwarm = Swarm & { readonly patches: PatchExchange }

const changeEveryMs = 250
const pruneEveryMs = 1_000
const askAgainEveryMs = 1_000

/** Builds the node; nothing is sent or listened to before `start()`, which throws `port-in-use` when a port is taken. */
export async function createLibp2pSwarm(
  components: Libp2pSwarmComponents,
  init: Libp2pSwarmInit,
): Promise<Libp2pSwarm> {
  const timeouts = { ...defaultTimeouts, ...init.timeouts }
  const { listen, mdns, dht } = init
  const { privateKey } = components.identity
  return createSwarmOn(await createSwarmNode({ privateKey, listen, mdns, dht, timeouts }), components, init)
}

/** The same on a node made elsewhere and not yet started. */
export function createSwarmOn(node: SwarmNode, components: Libp2pSwarmComponents, init: Libp2pSwarmInit): Libp2pSwarm {
  const { identity, verifier, clock } = components
  const log = components.log ?? silentLog
  const timeouts = { ...defaultTimeouts, ...init.timeouts }
  const selfId = identity.peerId
  const changes = createChangeSignal(changeEveryMs)
  const book = createOfferBook({ clock })
  const news = createChangeSignal(0)
  const gossip = node.services.gossip
  let started: Promise<void> | null = null
  let stopped: Promise<void> | null = null
  let pruneTimer: ReturnType<typeof setInterval> | undefined

  function offersChanged(): void {
    news.changed()
    changes.changed()
  }

  const intake = createOfferIntake({ book, verifier }, { selfId, onNews: offersChanged })
  const ownOffer = createOwnOffer(
    {
      identity,
      clock,
      log,
      addresses: () => (node.status === 'started' ? node.getMultiaddrs().map(String) : []),
      publish: async (bytes) => void (await gossip.publish(announceProtocol, bytes)),
    },
    { timeouts },
  )
  const directory = createDirectory({ book, intake, ownOffer, log }, { timeouts })
  const hostedSessions = createHostedSessions({ log }, { timeouts })
  const modelSearch = createModelSearch({ node, log })
  const patches = createLibp2pPatchExchange({ node, identity, verifier, clock, log, openStream }, { timeouts })
  const onMeet = (connection: Connection) => {
    void directory.ask(connection, null)
    patches.meet(connection)
  }
  const neighbours = createNeighbours(
    { node, log, onMeet, onChange: changes.changed },
    { bootstrap: init.bootstrap, timeouts },
  )

  function markLost(peerId: string): void {
    if (book.markLost(peerId)) offersChanged()
  }

  async function start(): Promise<void> {
    await node.handle(directoryProtocol, directory.answer, { maxInboundStreams: maxDirectoryStreams })
    await node.handle(inferenceProtocol, hostedSessions.accept, { maxInboundStreams: maxSessionStreams })
    await patches.handle()
    gossip.topicValidators.set(announceProtocol, async (peer, message) => {
      const verdict = await intake.take(message.data, peer.toString())
      return verdictResults[verdict]
    })
    try {
      await node.start()
    } catch (cause) {
      throw asStartError(cause, init.listen)
    }
    gossip.subscribe(announceProtocol)
    patches.start()
    neighbours.start()
    pruneTimer = setInterval(() => {
      if (book.prune()) offersChanged()
    }, pruneEveryMs)
    pruneTimer.unref()
  }

  /** In reverse order of `start`, and never longer than `stopMs`: what is not closed by then is reset. */
  async function stop(): Promise<void> {
    await started?.catch(() => {})
    clearInterval(pruneTimer)
    neighbours.stop()
    modelSearch.stop()
    hostedSessions.serve(null)
    const orderly = (async () => {
      await Promise.all([ownOffer.replace(null), patches.withdraw()])
      ownOffer.stop()
      await hostedSessions.settled()
      await node.stop()
    })()
    await Promise.race([orderly.catch((error) => log.warn({ error }, 'not stopped in order')), after(timeouts.stopMs)])
    for (const connection of node.getConnections()) connection.abort(new Error('this node has stopped'))
    patches.stop()
    news.stop()
    changes.stop()
  }

  async function connect(peerId: string, signal: AbortSignal): Promise<Connection> {
    const id = peerIdFromString(peerId)
    const open = node.getConnections(id).find((connection) => connection.status === 'open')
    if (open) return open
    const addresses = dialableAddresses([...book.addressesOf(peerId), ...patches.addressesOf(peerId)], peerId)
    return await node.dial(addresses.length > 0 ? addresses : id, { signal })
  }

  async function openStream(peerId: string, protocol: string, callerSignal: AbortSignal | undefined): Promise<Stream> {
    const signal = AbortSignal.any([AbortSignal.timeout(timeouts.dialMs), ...(callerSignal ? [callerSignal] : [])])
    try {
      callerSignal?.throwIfAborted()
      const connection = await connect(peerId, signal)
      return await connection.newStream(protocol, { signal })
    } catch (cause) {
      callerSignal?.throwIfAborted()
      markLost(peerId)
      throw new PeerLostError(peerId, 'cannot be reached', { cause })
    }
  }

  function askEverybody(modelDigest: Digest, signal: AbortSignal): void {
    for (const connection of node.getConnections()) void directory.ask(connection, modelDigest, signal)
  }

  const findOffers: Swarm['findOffers'] = async (modelDigest, { enough, timeoutMs, signal }) => {
    signal?.throwIfAborted()
    const known = book.offers(modelDigest)
    if (enough(known)) return known
    const done = new AbortController()
    const asking = setInterval(() => askEverybody(modelDigest, done.signal), askAgainEveryMs)
    try {
      askEverybody(modelDigest, done.signal)
      void modelSearch.search(modelDigest, (found) => directory.ask(found, modelDigest, done.signal), done.signal)
      return await waitForOffers(() => book.offers(modelDigest), enough, {
        listen: news.listen,
        timeoutMs,
        ...(signal ? { signal } : {}),
      })
    } finally {
      clearInterval(asking)
      done.abort()
    }
  }

  return {
    selfId,
    patches,
    addresses: () => (node.status === 'started' ? node.getMultiaddrs().map(String) : []),
    peers: () => (node.status === 'started' ? neighbours.peers() : []),
    rttMs: (peerId) => neighbours.rttMs(peerId),
    async offer(offer) {
      await ownOffer.replace(offer)
      modelSearch.provide(offer?.modelDigest ?? null)
    },
    knownOffers: (modelDigest) => book.offers(modelDigest),
    findOffers,
    reportLost: markLost,
    async openSession(peerId, request, options = {}) {
      const stream = await openStream(peerId, inferenceProtocol, options.signal)
      return await openClientSession(stream, { peerId, request, timeouts, onLost: () => markLost(peerId), ...options })
    },
    serve: hostedSessions.serve,
    onChange: changes.listen,
    start: () => (started ??= start()),
    stop: () => (stopped ??= started === null ? Promise.resolve() : stop()),
  }
}

function asStartError(cause: unknown, listen: readonly string[]): Error {
  const taken = cause instanceof Error && /EADDRINUSE/.test(`${cause.message} ${String(cause.cause)}`)
  if (taken)
    return new CodedError(
      'port-in-use',
      `cannot listen on ${listen.join(', ')}`,
      { address: listen.join(', ') },
      { cause },
    )
  return asError(cause)
}

function after(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs).unref()
  })
}
