/**
 * Many nodes' swarms in one process: everybody is connected to everybody, nothing is encoded. It keeps the promises of the
 * port (copies across the border, serial steps, `ended` exactly once, byte counts) so that `core` can be tested without
 * sockets; `test/compliance/swarm.ts` runs on it and on the libp2p adapter alike.
 */
import type { Digest } from '#contracts/digest.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import type { Span } from '#contracts/span.ts'
import { PeerLostError, SessionRefusedError } from '#core/errors.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { HostedSession, RemoteSession, SessionRequest, SpanHost, SpanOffer, Swarm } from '#core/ports/swarm.ts'

type OwnOffer = Omit<SpanOffer, 'peerId' | 'expiresAtMs'>
type Outcome = Parameters<HostedSession['ended']>[0]

/** What a frame costs on top of its floats; any constant will do here. */
const frameOverheadBytes = 16

interface Member {
  readonly peerId: string
  state: 'new' | 'running' | 'stopped' | 'killed'
  offer: { readonly value: OwnOffer; readonly sequence: number } | null
  /** When the offer of a killed node ends; a running one renews it. */
  offerEndsAtMs: number
  host: SpanHost | null
  readonly links: Set<Link>
  readonly listeners: Set<() => void>
  /** Offers not to be believed any more: peer id to the sequence that failed us. */
  readonly lost: Map<string, number>
}

export interface InMemorySwarms {
  /** A swarm for one more node; it takes part once started. */
  create(peerId: string): Swarm
  /** As `kill -9` would: sessions break without a word, the offer stays known until it expires. */
  kill(peerId: string): void
}

export function createInMemorySwarms(
  components: { readonly clock: Clock },
  init: {
    readonly offerLifetimeMs?: number
    readonly rttMs?: (from: string, to: string) => number | null
    /** A step or an opening not answered by then counts as a lost peer. */
    readonly stepTimeoutMs?: number
  } = {},
): InMemorySwarms {
  const members = new Map<string, Member>()
  const { clock } = components
  const offerLifetimeMs = init.offerLifetimeMs ?? 45_000
  const stepTimeoutMs = init.stepTimeoutMs ?? 30_000
  let sequence = 0

  function changed(): void {
    for (const member of members.values()) {
      if (member.state === 'running') for (const listener of member.listeners) queueMicrotask(listener)
    }
  }

  function offersKnownTo(self: Member, modelDigest: Digest): SpanOffer[] {
    const now = clock.monotonicMs()
    const offers: SpanOffer[] = []
    for (const member of members.values()) {
      const { offer, peerId } = member
      if (member === self || offer === null || offer.value.modelDigest !== modelDigest) continue
      if (self.lost.get(peerId) === offer.sequence) continue
      const expiresAtMs = member.state === 'running' ? now + offerLifetimeMs : member.offerEndsAtMs
      if (expiresAtMs > now) offers.push({ ...offer.value, peerId, expiresAtMs })
    }
    return offers
  }

  function running(self: Member): Member[] {
    return [...members.values()].filter((member) => member !== self && member.state === 'running')
  }

  function leave(member: Member, state: 'stopped' | 'killed'): void {
    member.state = state
    if (state === 'stopped') member.offer = null
    member.offerEndsAtMs = clock.monotonicMs() + offerLifetimeMs
    for (const link of [...member.links]) link.finish('interrupted', 'the connection closed')
    member.host = null
    changed()
  }

  function create(peerId: string): Swarm {
    const self: Member = {
      peerId,
      state: 'new',
      offer: null,
      offerEndsAtMs: 0,
      host: null,
      links: new Set(),
      listeners: new Set(),
      lost: new Map(),
    }
    members.set(peerId, self)

    function reportLost(lostPeerId: string): void {
      const offer = members.get(lostPeerId)?.offer
      if (offer) self.lost.set(lostPeerId, offer.sequence)
      changed()
    }

    async function openSession(
      hostId: string,
      request: SessionRequest,
      options: { signal?: AbortSignal } = {},
    ): Promise<RemoteSession> {
      options.signal?.throwIfAborted()
      const target = members.get(hostId)
      if (self.state !== 'running' || target?.state !== 'running') {
        reportLost(hostId)
        throw new PeerLostError(hostId, 'cannot be reached')
      }
      if (target.host === null) throw new SessionRefusedError('paused')
      const hosted = await target.host.open(peerId, { ...request })
      const link = createLink({ client: self, host: target, hosted, request, stepTimeoutMs, onLost: reportLost })
      if (options.signal?.aborted) link.finish('interrupted', 'the client went away')
      options.signal?.throwIfAborted()
      return link.remote
    }

    return {
      selfId: peerId,
      addresses: () => (self.state === 'running' ? [`/memory/${peerId}`] : []),
      peers: () =>
        self.state !== 'running'
          ? []
          : running(self).map((member) => ({
              peerId: member.peerId,
              addresses: [`/memory/${member.peerId}`],
              direction: 'outbound' as const,
              rttMs: init.rttMs ? init.rttMs(peerId, member.peerId) : 1,
            })),
      async offer(offer) {
        sequence += 1
        self.offer = offer === null ? null : { value: { ...offer }, sequence }
        changed()
      },
      knownOffers: (modelDigest) => (self.state === 'running' ? offersKnownTo(self, modelDigest) : []),
      findOffers: (modelDigest, options) =>
        waitFor(self, options, () => (self.state === 'running' ? offersKnownTo(self, modelDigest) : [])),
      rttMs(other) {
        if (members.get(other)?.state !== 'running') return null
        return init.rttMs ? init.rttMs(peerId, other) : 1
      },
      reportLost,
      openSession,
      serve(host) {
        self.host = host
        if (host !== null) return
        for (const link of [...self.links]) if (link.hostId === peerId) link.finish('interrupted', 'the host paused')
      },
      onChange(listener) {
        self.listeners.add(listener)
        return () => self.listeners.delete(listener)
      },
      async start() {
        if (self.state === 'new') self.state = 'running'
        changed()
      },
      async stop() {
        if (self.state === 'running') leave(self, 'stopped')
      },
    }
  }

  return {
    create,
    kill(peerId) {
      const member = members.get(peerId)
      if (member?.state === 'running') leave(member, 'killed')
    },
  }
}

function waitFor(
  self: Member,
  options: { enough: (offers: readonly SpanOffer[]) => boolean; timeoutMs: number; signal?: AbortSignal },
  known: () => SpanOffer[],
): Promise<readonly SpanOffer[]> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      self.listeners.delete(look)
      options.signal?.removeEventListener('abort', aborted)
    }
    const look = () => {
      const offers = known()
      if (!options.enough(offers)) return
      stop()
      resolve(offers)
    }
    const aborted = () => {
      stop()
      reject(options.signal?.reason)
    }
    const timer = setTimeout(() => {
      stop()
      resolve(known())
    }, options.timeoutMs)
    if (options.signal?.aborted) return aborted()
    options.signal?.addEventListener('abort', aborted, { once: true })
    self.listeners.add(look)
    look()
  })
}

interface Link {
  readonly hostId: string
  readonly remote: RemoteSession
  /** Ends both sides; later calls change nothing. */
  finish(how: Outcome, why: string): void
}

/** One session between two members: what the stream is in the real adapter. */
function createLink(init: {
  readonly client: Member
  readonly host: Member
  readonly hosted: HostedSession
  readonly request: SessionRequest
  readonly stepTimeoutMs: number
  readonly onLost: (peerId: string) => void
}): Link {
  const { client, host, hosted, request } = init
  const hostId = host.peerId
  const controller = new AbortController()
  let bytesToHost = frameOverheadBytes
  let bytesToClient = frameOverheadBytes
  let endedWith: string | null = null
  let busy = false

  function finish(how: Outcome, why: string): void {
    if (endedWith !== null) return
    endedWith = why
    client.links.delete(link)
    host.links.delete(link)
    controller.abort(new PeerLostError(hostId, why))
    if (how !== 'completed') init.onLost(hostId)
    void hosted.ended(how, { bytesReceived: bytesToHost, bytesSent: bytesToClient })
  }

  async function forward(hidden: Float32Array, position: number, options: { signal?: AbortSignal } = {}) {
    if (hidden.length === 0 || hidden.length % request.hiddenSize !== 0) {
      throw new InvalidInputError('hidden', `${hidden.length} values are no multiple of ${request.hiddenSize}`)
    }
    if (endedWith !== null) throw new PeerLostError(hostId, endedWith)
    if (busy) throw new InvalidInputError('forward', 'steps of one session do not overlap')
    busy = true
    try {
      return await step(hidden.slice(), position, options.signal)
    } finally {
      busy = false
    }
  }

  async function step(hidden: Float32Array, position: number, signal: AbortSignal | undefined): Promise<Float32Array> {
    const cancelled = () => finish('interrupted', 'the client went away')
    const timer = setTimeout(() => finish('interrupted', 'no answer in time'), init.stepTimeoutMs)
    signal?.addEventListener('abort', cancelled, { once: true })
    if (signal?.aborted) cancelled()
    try {
      if (!controller.signal.aborted) bytesToHost += hidden.byteLength + frameOverheadBytes
      const result = (await untilAborted(controller.signal, () => compute(hidden, position))).slice()
      bytesToClient += result.byteLength + frameOverheadBytes
      hosted.progressed?.({ bytesReceived: bytesToHost, bytesSent: bytesToClient })
      return result
    } catch (error) {
      signal?.throwIfAborted()
      throw error
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', cancelled)
    }
  }

  async function compute(hidden: Float32Array, position: number): Promise<Float32Array> {
    try {
      return await hosted.forward(hidden, position, { signal: controller.signal })
    } catch (error) {
      finish('failed', 'the host failed')
      throw new PeerLostError(hostId, 'the host failed', { cause: error })
    }
  }

  const remote: RemoteSession = {
    peerId: hostId,
    span: request.span satisfies Span,
    get bytesSent() {
      return bytesToHost
    },
    get bytesReceived() {
      return bytesToClient
    },
    forward,
    async close() {
      if (endedWith === null) bytesToHost += frameOverheadBytes
      finish('completed', 'the session is closed')
    },
  }
  const link: Link = { hostId, remote, finish }
  client.links.add(link)
  host.links.add(link)
  return link
}

/** The work's outcome, or the signal's reason as soon as it is aborted; the work's late failure is then nobody's news. */
function untilAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason)
    if (signal.aborted) return aborted()
    signal.addEventListener('abort', aborted, { once: true })
    work()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', aborted))
  })
}
