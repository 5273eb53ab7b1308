/**
 * What this node does for peers: admits sessions on the blocks it has loaded, as long as the owner's limits allow, and
 * computes for all of them together. It never waits for room: a peer that is refused at once can go elsewhere.
 */
import type { Digest } from '#contracts/digest.ts'
import { spanCovers } from '#contracts/span.ts'
import { type RefusalReason, SessionRefusedError } from '../errors.ts'
import type { SessionInit, SpanRunner, SpanSession } from '../ports/engine.ts'
import type { HostedSession, SessionRequest, SpanHost as SpanHostPort } from '../ports/swarm.ts'
import { createBatcher } from './batcher.ts'
import type { PatchLoan, PatchShelf } from './patch-shelf.ts'
import {
  type ServedSession,
  type ServedSessionComponents,
  SessionViolationError,
  startServedSession,
} from './served-session.ts'

export interface SpanHostComponents extends Omit<ServedSessionComponents, 'batcher'> {
  readonly runner: SpanRunner
  readonly modelDigest: Digest
  readonly hiddenSize: number
  /** Of this runner; sessions have no patches here when left out. */
  readonly patches?: PatchShelf
}

export interface SpanHostLimits {
  readonly maxSessions: number
  readonly maxSessionsPerPeer: number
  /** Positions a session may hold. */
  readonly maxLength: number
  /** Positions computed before another session's turn; 32 when left out. */
  readonly sliceTokens?: number
}

export interface SpanHost extends SpanHostPort {
  /** Open now, with those being opened. */
  readonly sessions: number
  /** Called when `sessions` changed. Returns how to stop listening. */
  onChange(listener: () => void): () => void
  /** Refuses new sessions; resolves when the last one has ended by itself. Throws the signal's reason. */
  drain(options?: { signal?: AbortSignal }): Promise<void>
  /**
   * Refuses new sessions and ends those open, as interrupted; resolves when all are recorded. Idempotent. Take the host
   * out of the swarm first (`Swarm.serve(null)`): then the streams' last bytes are in the records too.
   */
  close(): Promise<void>
}

/** Rows that a product takes at full speed; more would only make the next batch wait longer. */
const positionsPerBatch = 128

/** A place taken in the host; `session` is null while it is being opened. */
interface Place {
  readonly peerId: string
  session: ServedSession | null
}

export function createSpanHost(components: SpanHostComponents, limits: SpanHostLimits): SpanHost {
  const { runner, hiddenSize } = components
  const batcher = createBatcher(runner, { hiddenSize, maxPositions: positionsPerBatch })
  const places = new Map<string, Place>()
  const listeners = new Set<() => void>()
  /** Records being written for sessions that have left their places. */
  const endings = new Set<Promise<void>>()
  const closing = new AbortController()
  let state: 'admitting' | 'draining' | 'closed' = 'admitting'

  function changed(): void {
    for (const listener of [...listeners]) listener()
  }

  function refusal(peerId: string, request: SessionRequest): RefusalReason | null {
    const { modelDigest } = components
    if (state !== 'admitting') return 'paused'
    if (request.modelDigest !== modelDigest || request.hiddenSize !== hiddenSize) return 'wrong-model'
    if (!spanCovers(runner.span, request.span)) return 'wrong-span'
    if (request.maxLength > limits.maxLength) return 'too-long'
    const ofPeer = [...places.values()].filter((place) => place.peerId === peerId).length
    return places.size >= limits.maxSessions || ofPeer >= limits.maxSessionsPerPeer ? 'busy' : null
  }

  async function open(peerId: string, request: SessionRequest): Promise<HostedSession> {
    const reason = refusal(peerId, request)
    if (reason !== null) throw new SessionRefusedError(reason)
    const { sessionId } = request
    // The journal keeps one note an id: a second session under it would overwrite what is known of the first.
    if (places.has(sessionId)) throw new SessionViolationError(peerId, `session ${sessionId} is open already`)
    const place: Place = { peerId, session: null }
    places.set(sessionId, place)
    changed()
    const leave = () => {
      if (places.delete(sessionId)) changed()
    }
    try {
      const session = await start(peerId, request, leave)
      place.session = session
      if (state === 'closed') await tracked(session.interrupt())
      if (state === 'closed') throw new SessionRefusedError('paused')
      return { ...session, ended: (how, traffic) => tracked(session.ended(how, traffic)) }
    } catch (error) {
      leave()
      throw error
    }
  }

  async function start(peerId: string, request: SessionRequest, onEnded: () => void): Promise<ServedSession> {
    const { modelDigest, ledger, clock } = components
    const { sessionId, span, maxLength } = request
    const loan = await borrow(request.patches)
    if (state === 'closed') {
      loan?.giveBack()
      throw new SessionRefusedError('paused')
    }
    const cache = openCache({ maxLength, span }, loan)
    const sliceTokens = limits.sliceTokens ?? 32
    const init = { sessionId, peerId, modelDigest, hiddenSize, sliceTokens, cache, loan, onEnded }
    return await startServedSession({ ledger, clock, batcher }, init)
  }

  /** Patches this node lacks are fetched, within its limits; whatever keeps it from having them, another host may. */
  async function borrow(patches: readonly Digest[] = []): Promise<PatchLoan | null> {
    if (patches.length === 0) return null
    if (components.patches === undefined) throw new SessionRefusedError('unknown-patch')
    try {
      return await components.patches.borrow(patches, closing.signal)
    } catch (cause) {
      throw new SessionRefusedError(state === 'closed' ? 'paused' : 'unknown-patch', { cause })
    }
  }

  function openCache(init: SessionInit, loan: PatchLoan | null): SpanSession {
    try {
      return runner.openSession(loan === null ? init : { ...init, patches: loan.patches })
    } catch (error) {
      loan?.giveBack()
      throw error
    }
  }

  function tracked(ending: Promise<void>): Promise<void> {
    const done = () => endings.delete(ending)
    endings.add(ending)
    ending.then(done, done)
    return ending
  }

  /** Resolves when no place is taken. */
  async function emptied(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (places.size === 0) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const look = () => {
      if (places.size === 0) resolve()
    }
    const aborted = () => reject(signal?.reason)
    listeners.add(look)
    signal?.addEventListener('abort', aborted, { once: true })
    await promise.finally(() => {
      listeners.delete(look)
      signal?.removeEventListener('abort', aborted)
    })
  }

  return {
    get sessions() {
      return places.size
    },
    open,
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async drain({ signal } = {}) {
      if (state === 'admitting') state = 'draining'
      await emptied(signal)
      await Promise.all(endings)
    },
    async close() {
      state = 'closed'
      closing.abort()
      for (const { session } of places.values()) if (session) tracked(session.interrupt())
      const recorded = Promise.all(endings)
      await Promise.all([emptied(), recorded])
    },
  }
}
