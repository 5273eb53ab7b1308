/**
 * A client's session through a chain of hops, which survives the loss of any of them. The client carries hidden states
 * from hop to hop and keeps what it gave each one. Everything follows from two numbers a hop: how many positions it was
 * given (its history) and how many its session has run. Driving a hop means running its session over the rest of its
 * history and handing on what the next hop has not been given yet. A hop that was replaced has run nothing, so driving it
 * replays; the hop after it already has those positions, so only the newest go on. A failure at any moment, replay
 * included, comes to the same: replace the hop, drive again. See `docs/decisions/0005-client-routed-sessions-with-replay.md`.
 */
import type { Hop, HopReport } from '#contracts/api/chat.ts'
import type { Digest } from '#contracts/digest.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { SessionOutcome } from '#contracts/receipt/ledger-entry.ts'
import { ContextTooLongError, MissingBlocksError, SessionRefusedError } from '../errors.ts'
import type { Swarm } from '../ports/swarm.ts'
import { createHiddenHistory, type HiddenHistory } from './hidden-history.ts'
import { type HopComponents, HopFailure, type HopSession, openHopSession } from './hop-session.ts'
import type { PlannedHop } from './plan-route.ts'
import { createRouteFinder, type Failing, type RouteFinder } from './route-finder.ts'

export interface RoutedSessionComponents extends HopComponents {
  /** Null when this node is in no swarm. */
  readonly swarm: Pick<Swarm, 'knownOffers' | 'findOffers' | 'rttMs' | 'reportLost' | 'openSession'> | null
  readonly selfId: string
  readonly nodeName: string | null
}

export interface RoutedSessionInit {
  readonly modelDigest: Digest
  readonly config: Pick<ModelConfig, 'blockCount' | 'hiddenSize'>
  readonly maxLength: number
  /** Applied in every hop; none when left out. */
  readonly patches?: readonly Digest[]
  /** Use only this node's blocks. */
  readonly localOnly: boolean
  /** Ends the opening; `forward` takes its own. */
  readonly signal?: AbortSignal
  /** Called while `forward` runs, once for each peer that was lost, when the new route has proved itself. */
  readonly onRouteChange?: (change: { readonly hops: readonly Hop[]; readonly lostPeerId: string }) => void
  /** How long to ask the swarm for blocks that nobody known holds; 5 s when left out. */
  readonly searchTimeoutMs?: number
}

export interface RoutedSession {
  /** The route in use now. */
  readonly hops: readonly Hop[]
  /** Positions run. */
  readonly length: number
  /**
   * Appends `hidden` (tokens, hiddenSize) and returns the last block's output of the same shape. Lost hops are replaced
   * meanwhile. Throws `ContextTooLongError` past `maxLength`, `MissingBlocksError` when nobody holds a lost hop's blocks,
   * `SessionRefusedError` when their holders are all too busy, the last failure after too many. Calls do not overlap;
   * after one that threw, the session can only be closed.
   */
  forward(hidden: Float32Array, options?: { signal?: AbortSignal }): Promise<Float32Array>
  /** What every hop did, lost ones included, in the order in which they were opened. */
  reports(): readonly HopReport[]
  /** Ends and records all sessions; rejects when one could not be recorded. Later calls do nothing. */
  close(outcome: SessionOutcome): Promise<void>
}

/** A place in the chain: who is to run the span, what it was given, and its session once it is open. */
interface Slot {
  readonly hop: PlannedHop
  readonly history: HiddenHistory
  session: HopSession | null
}

/** Where a hop's output goes: the next hop's history, or the answer. */
type Sink = Pick<HiddenHistory, 'length' | 'append'>

/** Replacements within one step (or the opening) after which it fails. */
const maximumReplacements = 16

export async function openRoutedSession(
  components: RoutedSessionComponents,
  init: RoutedSessionInit,
): Promise<RoutedSession> {
  const finder = createFinder(components, init)
  const whole = { start: 0, end: init.config.blockCount }
  const found = await finder.find(whole, init.signal ? { signal: init.signal } : {})
  const chain = createChain(components, init, finder, found)
  try {
    await chain.open(init.signal)
    return chain.session
  } catch (error) {
    // What led here is told; a ledger that cannot be written says so at the next session, too.
    await chain.session.close('interrupted').catch(() => {})
    throw error
  }
}

function createFinder(components: RoutedSessionComponents, init: RoutedSessionInit): RouteFinder {
  const { selfId, nodeName, local, clock, newSessionId } = components
  return createRouteFinder(
    { swarm: init.localOnly ? null : components.swarm, clock },
    {
      local: local ? { peerId: selfId, nodeName, span: local.span } : null,
      maxLength: init.maxLength,
      spreadSeed: newSessionId(),
      modelDigest: init.modelDigest,
      searchTimeoutMs: init.searchTimeoutMs ?? 5000,
    },
  )
}

function createChain(
  components: RoutedSessionComponents,
  init: RoutedSessionInit,
  finder: RouteFinder,
  planned: readonly PlannedHop[],
) {
  const { hiddenSize } = init.config
  const { modelDigest, maxLength, patches = [] } = init
  const request = { modelDigest, hiddenSize, maxLength, patches }
  const newSlot = (hop: PlannedHop, history = createHiddenHistory(hiddenSize)): Slot => ({
    hop,
    history,
    session: null,
  })
  const slots = planned.map((hop) => newSlot(hop))
  const everOpened: HopSession[] = []
  /** Ends of lost sessions: nobody waits for them until the whole session is closed. */
  const endings: Promise<void>[] = []
  const lostPeerIds: string[] = []
  let replacements = 0
  let length = 0
  let closed = false

  async function openSlot(slot: Slot, signal: AbortSignal | undefined): Promise<HopSession> {
    const session = await openHopSession(components, request, slot.hop, signal)
    everOpened.push(session)
    slot.session = session
    return session
  }

  /** Opens all hops at once and replaces those that fail, until the chain stands. */
  async function open(signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      const failed = new Map<Slot, HopFailure>()
      const opening = slots.filter(({ session }) => session === null)
      const results = await Promise.allSettled(opening.map((slot) => openSlot(slot, signal)))
      for (const [index, result] of results.entries()) {
        if (result.status === 'fulfilled') continue
        if (!(result.reason instanceof HopFailure)) throw result.reason
        const slot = opening[index]
        if (slot) failed.set(slot, result.reason)
      }
      if (failed.size === 0) return
      await replace(failed, signal)
    }
  }

  async function forward(hidden: Float32Array, signal: AbortSignal | undefined): Promise<Float32Array> {
    const tokens = hidden.length / hiddenSize
    if (length + tokens > init.maxLength) throw new ContextTooLongError(length + tokens, init.maxLength)
    slots[0]?.history.append(hidden)
    const answer = createAnswer(hiddenSize, length)
    replacements = 0
    for (let index = 0; index < slots.length; ) {
      const slot = slots[index]
      const failure = slot ? await drive(slot, slots[index + 1]?.history ?? answer, signal) : null
      if (slot && failure) await replace(new Map([[slot, failure]]), signal)
      else index += 1
    }
    length += tokens
    for (const lostPeerId of lostPeerIds.splice(0)) init.onRouteChange?.({ hops: currentHops(), lostPeerId })
    return answer.joined()
  }

  /** Runs a hop over what it was given and has not run. Resolves to its failure, or null when it is level. */
  async function drive(slot: Slot, next: Sink, signal: AbortSignal | undefined): Promise<HopFailure | null> {
    try {
      const session = slot.session ?? (await openSlot(slot, signal))
      while (session.position < slot.history.length) {
        const known = next.length - session.position
        const output = await session.forward(slot.history.from(session.position), signal)
        if (known * hiddenSize < output.length) next.append(output.subarray(known * hiddenSize))
      }
      return null
    } catch (error) {
      if (error instanceof HopFailure) return error
      throw error
    }
  }

  /** Puts others in the place of failed hops: the first of them inherits the history, the rest begin with nothing. */
  async function replace(failed: ReadonlyMap<Slot, HopFailure>, signal: AbortSignal | undefined): Promise<void> {
    for (const [slot, { cause }] of failed) {
      replacements += 1
      if (replacements > maximumReplacements) throw cause
      giveUp(slot, cause)
    }
    const options = signal ? { signal } : {}
    const searches = [...failed].map(([slot]) => finder.find(slot.hop.span, options))
    const found = await Promise.allSettled(searches)
    throwIfMissing([...failed.entries()], found)
    for (const [index, slot] of [...failed.keys()].entries()) {
      const result = found[index]
      const hops = result?.status === 'fulfilled' ? result.value : []
      const fresh = hops.map((hop, place) => (place === 0 ? newSlot(hop, slot.history) : newSlot(hop)))
      slots.splice(slots.indexOf(slot), 1, ...fresh)
    }
  }

  function giveUp({ hop, session }: Slot, cause: unknown): void {
    const failing: Failing = hop.local ? 'broken' : cause instanceof SessionRefusedError ? 'refused' : 'lost'
    finder.exclude(hop.peerId, failing)
    if (failing === 'lost') components.swarm?.reportLost(hop.peerId)
    if (session === null) return
    lostPeerIds.push(hop.peerId)
    const ending = session.close(hop.local ? 'failed' : 'interrupted')
    ending.catch(() => {}) // told by `close`, which waits for all endings
    endings.push(ending)
  }

  const currentHops = (): readonly Hop[] => slots.map(({ hop }) => hop)

  async function close(outcome: SessionOutcome): Promise<void> {
    if (closed) return
    closed = true
    const rest = slots.flatMap(({ session }) => (session ? [session.close(outcome)] : []))
    const results = await Promise.allSettled([...endings, ...rest])
    const failure = results.find((result) => result.status === 'rejected')
    if (failure) throw failure.reason
  }

  const session: RoutedSession = {
    get hops() {
      return currentHops()
    },
    get length() {
      return length
    },
    forward: (hidden, options = {}) => forward(hidden, options.signal),
    reports: () => everOpened.map((opened) => opened.report()),
    close,
  }
  return { open, session }
}

/** Collects the last hop's output from position `start` on. */
function createAnswer(hiddenSize: number, start: number): Sink & { joined(): Float32Array } {
  const pieces: Float32Array[] = []
  let length = start
  return {
    get length() {
      return length
    },
    append(hidden) {
      pieces.push(hidden)
      length += hidden.length / hiddenSize
    },
    joined() {
      const [only] = pieces
      if (only && pieces.length === 1) return only
      const whole = new Float32Array((length - start) * hiddenSize)
      let offset = 0
      for (const piece of pieces) {
        whole.set(piece, offset)
        offset += piece.length
      }
      return whole
    },
  }
}

/**
 * The one error for hops that could not be replaced. Missing blocks of all of them are named together; but a failure of
 * this node's own engine, and holders that are there but busy or without a patch, are told as what they are.
 */
function throwIfMissing(
  failed: readonly (readonly [Slot, HopFailure])[],
  found: readonly PromiseSettledResult<unknown>[],
): void {
  const spans = []
  let cause: unknown
  for (const [index, result] of found.entries()) {
    const [slot, failure] = failed[index] ?? []
    if (result.status === 'fulfilled' || !slot || !failure) continue
    if (!(result.reason instanceof MissingBlocksError)) throw result.reason
    if (slot.hop.local || isUnwilling(failure.cause)) throw failure.cause
    cause ??= failure.cause
    spans.push(...result.reason.spans)
  }
  if (spans.length > 0) throw new MissingBlocksError(spans, { cause })
}

function isUnwilling(cause: unknown): boolean {
  return cause instanceof SessionRefusedError && ['busy', 'too-long', 'unknown-patch'].includes(cause.reason)
}
