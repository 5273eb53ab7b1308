/**
 * The `PatchExchange` port over libp2p. Who has which patch travels by gossip and directories and stands on the DHT; bytes
 * are fetched a range at a time, each over a stream of its own. `docs/protocols/patch-exchange.md` has what goes over the
 * wire.
 */
import type { Connection, Stream } from '@libp2p/interface'
import { patchAnnounceProtocol } from '#contracts/wire/patches/announce.ts'
import { patchDirectoryProtocol } from '#contracts/wire/patches/directory.ts'
import { patchFetchProtocol } from '#contracts/wire/patches/fetch.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Identity, SignatureVerifier } from '#core/ports/keys.ts'
import type { PatchExchange, PatchSource } from '#core/ports/patch-exchange.ts'
import { createChangeSignal } from './change-signal.ts'
import { maxFetchStreams, maxPatchDirectoryStreams, type Timeouts } from './limits.ts'
import type { Log } from './log.ts'
import type { SwarmNode } from './node.ts'
import { createOwnPatches } from './own-patches.ts'
import { createPatchBook } from './patch-book.ts'
import { createPatchClient } from './patch-client.ts'
import { createPatchDirectory, type WantedPatches } from './patch-directory.ts'
import { createPatchIntake } from './patch-intake.ts'
import { createPatchSearch, keyOfBase } from './patch-search.ts'
import { createPatchServer } from './patch-server.ts'
import { verdictResults } from './verdict-results.ts'
import { waitForOffers } from './wait-for-offers.ts'

export interface Libp2pPatchExchange extends PatchExchange {
  addressesOf(peerId: string): readonly string[]
  /** A new connection: what does the peer have? */
  meet(connection: Connection): void
  /** Before the node starts. */
  handle(): Promise<void>
  /** Once it has started. */
  start(): void
  /** Takes back what was offered. */
  withdraw(): Promise<void>
  stop(): void
}

const changeEveryMs = 250
const announceAfterMs = 100
const pruneEveryMs = 1_000
const askAgainEveryMs = 1_000

export function createLibp2pPatchExchange(
  components: {
    readonly node: SwarmNode
    readonly identity: Identity
    readonly verifier: SignatureVerifier
    readonly clock: Clock
    readonly log: Log
    readonly openStream: (peerId: string, protocol: string, signal: AbortSignal | undefined) => Promise<Stream>
  },
  init: { readonly timeouts: Timeouts },
): Libp2pPatchExchange {
  const { node, identity, clock, log } = components
  const { gossip } = node.services
  const book = createPatchBook({ clock })
  const news = createChangeSignal(0)
  const changes = createChangeSignal(changeEveryMs)
  const search = createPatchSearch({ node, log })
  const server = createPatchServer({ log }, init)
  let source: PatchSource | null = null
  let pruneTimer: ReturnType<typeof setInterval> | undefined
  let offerTimer: ReturnType<typeof setTimeout> | undefined

  function booksChanged(): void {
    news.changed()
    changes.changed()
  }

  const ownPatches = createOwnPatches(
    {
      identity,
      clock,
      log,
      addresses: () => (node.status === 'started' ? node.getMultiaddrs().map(String) : []),
      publish: async (bytes) => void (await gossip.publish(patchAnnounceProtocol, bytes)),
    },
    init,
  )
  const intake = createPatchIntake({ ...components, book }, { selfId: identity.peerId, onNews: booksChanged })
  const directory = createPatchDirectory({ book, intake, ownPatches, log }, init)
  const client = createPatchClient(
    {
      openStream: components.openStream,
      onFailure(peerId, digest, failure) {
        if (failure === 'busy') return
        if (book.markLost(peerId, failure === 'unknown' ? digest : undefined)) booksChanged()
      },
    },
    init,
  )

  async function offer(): Promise<void> {
    if (node.status !== 'started') return
    try {
      const patches = source === null ? [] : await source.offered()
      await ownPatches.replace(patches)
      search.provide(ownPatches.offered())
    } catch (error) {
      log.warn({ error }, 'what this node offers could not be read')
    }
  }

  /** Several changes in a row are one announcement. */
  function offersChanged(): void {
    clearTimeout(offerTimer)
    offerTimer = setTimeout(() => void offer(), announceAfterMs)
    offerTimer.unref()
  }

  function askEverybody(wanted: WantedPatches, signal: AbortSignal): void {
    for (const connection of node.getConnections()) void directory.ask(connection, wanted, signal)
  }

  const find: PatchExchange['find'] = async (what, { enough, timeoutMs, signal }) => {
    signal?.throwIfAborted()
    const wanted = 'base' in what ? { baseDigest: what.base, digest: null } : { baseDigest: null, digest: what.patch }
    const known = book.offers(wanted)
    if (enough(known)) return known
    const done = new AbortController()
    const asking = setInterval(() => askEverybody(wanted, done.signal), askAgainEveryMs)
    try {
      askEverybody(wanted, done.signal)
      const key = 'base' in what ? keyOfBase(what.base) : what.patch
      void search.search(key, (found) => directory.ask(found, wanted, done.signal), done.signal)
      return await waitForOffers(() => book.offers(wanted), enough, {
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
    serve(next) {
      source = next
      server.serve(next)
      offersChanged()
    },
    offersChanged,
    known: (baseDigest) => book.offers({ baseDigest, digest: null }),
    find,
    fetch: client.fetch,
    reportLiar(peerId) {
      book.markLiar(peerId)
      booksChanged()
    },
    onChange: changes.listen,
    addressesOf: book.addressesOf,
    meet: (connection) => void directory.ask(connection, { baseDigest: null, digest: null }),
    async handle() {
      await node.handle(patchDirectoryProtocol, directory.answer, { maxInboundStreams: maxPatchDirectoryStreams })
      await node.handle(patchFetchProtocol, server.answer, { maxInboundStreams: maxFetchStreams })
      gossip.topicValidators.set(patchAnnounceProtocol, async (peer, message) => {
        return verdictResults[await intake.take(message.data, peer.toString())]
      })
    },
    start() {
      gossip.subscribe(patchAnnounceProtocol)
      pruneTimer = setInterval(() => {
        if (book.prune()) booksChanged()
      }, pruneEveryMs)
      pruneTimer.unref()
      offersChanged()
    },
    async withdraw() {
      clearTimeout(offerTimer)
      server.serve(null)
      await ownPatches.replace([])
    },
    stop() {
      clearInterval(pruneTimer)
      clearTimeout(offerTimer)
      ownPatches.stop()
      search.stop()
      news.stop()
      changes.stop()
    },
  }
}
