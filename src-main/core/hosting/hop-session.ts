/**
 * One hop of a client's route while it lasts: the peer's session, or one on this node's own blocks, with its position,
 * its counts and, at the end, its one line for the ledger.
 */
import type { Hop, HopReport } from '#contracts/api/chat.ts'
import type { Digest } from '#contracts/digest.ts'
import type { SessionOutcome } from '#contracts/receipt/ledger-entry.ts'
import { PeerLostError } from '../errors.ts'
import type { SessionInit, SpanRunner, SpanSession } from '../ports/engine.ts'
import type { Swarm } from '../ports/swarm.ts'
import type { PatchLoan, PatchShelf } from './patch-shelf.ts'
import type { PlannedHop } from './plan-route.ts'
import { createSessionEntry, type SessionEntryComponents } from './session-entry.ts'
import { countStep, noTokens } from './token-counts.ts'

export interface HopComponents extends SessionEntryComponents {
  readonly swarm: Pick<Swarm, 'openSession'> | null
  readonly local: SpanRunner | null
  /** For sessions on `local`. */
  readonly localPatches?: PatchShelf
  readonly newSessionId: () => string
}

export interface HopRequest {
  readonly modelDigest: Digest
  readonly hiddenSize: number
  readonly maxLength: number
  readonly patches: readonly Digest[]
}

export interface HopSession {
  readonly hop: Hop
  /** Positions the hop has run. */
  readonly position: number
  /** Appends `hidden` (tokens, hiddenSize). Throws `HopFailure`, or what the signal was aborted with. */
  forward(hidden: Float32Array, signal: AbortSignal | undefined): Promise<Float32Array>
  report(): HopReport
  /** Ends the session and records it. Later calls do nothing. */
  close(outcome: SessionOutcome): Promise<void>
}

/** The hop cannot go on, for the reason in `cause`; another may take its place. */
export class HopFailure extends Error {
  constructor(cause: unknown) {
    super('a hop failed', { cause })
    this.name = 'HopFailure'
  }
}

/** What differs between a peer's blocks and this node's own. */
interface Runner {
  forward(hidden: Float32Array, position: number, options: { signal?: AbortSignal }): Promise<Float32Array>
  traffic(): { readonly bytesSent: number; readonly bytesReceived: number }
  close(): Promise<void>
}

/** Throws `HopFailure` when the peer is gone or refuses. */
export async function openHopSession(
  components: HopComponents,
  request: HopRequest,
  hop: PlannedHop,
  signal: AbortSignal | undefined,
): Promise<HopSession> {
  const sessionId = components.newSessionId()
  const { peerId, span } = hop
  const { modelDigest } = request
  let position = 0
  let counts = noTokens
  let outcome: SessionOutcome | null = null
  const runner = await orHopFailure(signal, () => openRunner(components, request, hop, sessionId, signal))
  const entry = createSessionEntry(components, () => {
    return { kind: 'used', sessionId, peerId, modelDigest, span, ...counts, ...runner.traffic() }
  })
  try {
    await entry.begin()
  } catch (error) {
    await runner.close()
    throw error
  }

  return {
    hop,
    get position() {
      return position
    },
    async forward(hidden, stepSignal) {
      const options = stepSignal ? { signal: stepSignal } : {}
      const output = await orHopFailure(stepSignal, () => runner.forward(hidden, position, options))
      const tokens = hidden.length / request.hiddenSize
      counts = countStep(counts, position, tokens)
      position += tokens
      entry.progressed()
      return output
    },
    report: () => ({ ...hop, ...counts, ...runner.traffic(), outcome: outcome ?? 'completed' }),
    async close(how) {
      if (outcome !== null) return
      outcome = how
      await runner.close()
      await entry.end(how)
    },
  }
}

/** Any failure of `work` but the abort the caller asked for becomes a `HopFailure`. */
async function orHopFailure<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    signal?.throwIfAborted()
    throw new HopFailure(error)
  }
}

async function openRunner(
  { swarm, local, localPatches }: HopComponents,
  { modelDigest, hiddenSize, maxLength, patches }: HopRequest,
  { peerId, span, local: isLocal }: PlannedHop,
  sessionId: string,
  signal: AbortSignal | undefined,
): Promise<Runner> {
  if (isLocal && local) return openLocal(local, { maxLength, span }, await borrow(localPatches, patches, signal))
  if (swarm === null) throw new PeerLostError(peerId, 'this node is not in a swarm')
  const wanted = patches.length > 0 ? { patches } : {}
  const request = { sessionId, modelDigest, span, maxLength, hiddenSize, ...wanted }
  const session = await swarm.openSession(peerId, request, signal ? { signal } : {})
  return {
    async forward(hidden, position, options) {
      const output = await session.forward(hidden, position, options)
      checkOutput(peerId, hidden, output)
      return output
    },
    traffic: () => ({ bytesSent: session.bytesSent, bytesReceived: session.bytesReceived }),
    close: () => session.close(),
  }
}

async function borrow(
  shelf: PatchShelf | undefined,
  patches: readonly Digest[],
  signal: AbortSignal | undefined,
): Promise<PatchLoan | null> {
  return shelf === undefined || patches.length === 0 ? null : await shelf.borrow(patches, signal)
}

function openLocal(runner: SpanRunner, init: SessionInit, loan: PatchLoan | null): Runner {
  const session = openWith(runner, init, loan)
  return {
    forward: (hidden, _position, options) => session.forward(hidden, options),
    traffic: () => ({ bytesSent: 0, bytesReceived: 0 }),
    async close() {
      session.dispose()
      loan?.giveBack()
    },
  }
}

function openWith(runner: SpanRunner, init: SessionInit, loan: PatchLoan | null): SpanSession {
  try {
    return runner.openSession(loan === null ? init : { ...init, patches: loan.patches })
  } catch (error) {
    loan?.giveBack()
    throw error
  }
}

/** A peer's answer goes no further unless it has the right shape and holds numbers: later hops would be poisoned by it. */
function checkOutput(peerId: string, input: Float32Array, output: Float32Array): void {
  if (output.length !== input.length) {
    throw new PeerLostError(peerId, `answered ${output.length} values to ${input.length}`)
  }
  for (const value of output) {
    if (!Number.isFinite(value)) throw new PeerLostError(peerId, 'answered something that is not a number')
  }
}
