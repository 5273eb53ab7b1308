/** One session this node serves to a peer: its KV cache, its counts, and its one line in the ledger however it ends. */
import type { Digest } from '#contracts/digest.ts'
import { CodedError } from '#contracts/errors.ts'
import type { SessionOutcome } from '#contracts/receipt/ledger-entry.ts'
import { ContextTooLongError, SessionRefusedError } from '../errors.ts'
import type { SpanSession } from '../ports/engine.ts'
import type { HostedSession } from '../ports/swarm.ts'
import type { Batcher } from './batcher.ts'
import type { PatchLoan } from './patch-shelf.ts'
import { createSessionEntry, type SessionEntryComponents } from './session-entry.ts'
import { countStep, noTokens } from './token-counts.ts'

/** A peer sent what the session's state does not allow. */
export class SessionViolationError extends CodedError {
  constructor(peerId: string, what: string) {
    super('protocol-violation', `peer ${peerId}: ${what}`, { peerId, what })
  }
}

export interface ServedSessionComponents extends SessionEntryComponents {
  readonly batcher: Batcher
}

export interface ServedSessionInit {
  readonly sessionId: string
  readonly peerId: string
  readonly modelDigest: Digest
  readonly hiddenSize: number
  /** Positions computed at a time; longer steps let other sessions in between. */
  readonly sliceTokens: number
  readonly cache: SpanSession
  /** What the session borrowed for its time; given back when it ends. */
  readonly loan: PatchLoan | null
  /** Called once, when the cache is freed, before the entry is written. */
  readonly onEnded: () => void
}

export interface ServedSession extends Required<HostedSession> {
  /** Ends the session from this side, with the byte counts known so far. */
  interrupt(): Promise<void>
}

/** Rejects, holding nothing, when the journal cannot be written: unrecorded work is not done. */
export async function startServedSession(
  components: ServedSessionComponents,
  init: ServedSessionInit,
): Promise<ServedSession> {
  const { batcher } = components
  const { sessionId, modelDigest, peerId, hiddenSize, cache } = init
  const { span } = cache
  const ending = new AbortController()
  let traffic = { bytesReceived: 0, bytesSent: 0 }
  let counts = noTokens
  let step: Promise<unknown> | null = null
  let end: Promise<void> | null = null
  const entry = createSessionEntry(components, () => {
    return { kind: 'served', sessionId, peerId, modelDigest, span, ...counts, ...traffic }
  })

  async function compute(hidden: Float32Array, position: number, signal: AbortSignal): Promise<Float32Array> {
    if (position < cache.length) cache.truncate(position)
    const sliceValues = init.sliceTokens * hiddenSize
    try {
      if (hidden.length <= sliceValues) return await batcher.forward(cache, hidden, signal)
      const output = new Float32Array(hidden.length)
      for (let start = 0; start < hidden.length; start += sliceValues) {
        const slice = hidden.subarray(start, start + sliceValues)
        output.set(await batcher.forward(cache, slice, signal), start)
      }
      return output
    } catch (error) {
      if (cache.length > position) cache.truncate(position)
      throw error
    }
  }

  function check(hidden: Float32Array, position: number): void {
    const tokens = hidden.length / hiddenSize
    if (step !== null) throw new SessionViolationError(peerId, 'a step before the answer to the last one')
    if (tokens === 0 || !Number.isInteger(tokens)) {
      throw new SessionViolationError(peerId, `${hidden.length} values are not positions of ${hiddenSize}`)
    }
    if (!Number.isInteger(position) || position < 0 || position > cache.length) {
      throw new SessionViolationError(peerId, `position ${position} in a session of ${cache.length}`)
    }
    if (position + tokens > cache.maxLength) throw new ContextTooLongError(position + tokens, cache.maxLength)
  }

  async function forward(hidden: Float32Array, position: number, { signal }: { signal: AbortSignal }) {
    ending.signal.throwIfAborted()
    check(hidden, position)
    const either = eitherSignal(signal, ending.signal)
    const computing = compute(hidden, position, either.signal)
    step = computing
    try {
      const output = await computing
      counts = countStep(counts, position, hidden.length / hiddenSize)
      entry.progressed()
      return output
    } finally {
      step = null
      either.release()
    }
  }

  function finish(outcome: SessionOutcome, why: Error): Promise<void> {
    end ??= finishOnce(outcome, why)
    return end
  }

  /** A step under way is told why there is no answer. */
  async function finishOnce(outcome: SessionOutcome, why: Error): Promise<void> {
    ending.abort(why)
    await step?.catch(() => {}) // whoever asked for the step is told of its failure
    cache.dispose()
    init.loan?.giveBack()
    init.onEnded()
    await entry.end(outcome)
  }

  try {
    await entry.begin()
  } catch (error) {
    cache.dispose()
    init.loan?.giveBack()
    throw error
  }

  return {
    forward,
    progressed(now) {
      if (end !== null) return
      traffic = now
      entry.progressed()
    },
    ended(how, finalTraffic) {
      if (end === null) traffic = finalTraffic
      return finish(how, new SessionViolationError(peerId, 'the session is over'))
    },
    interrupt: () => finish('interrupted', new SessionRefusedError('paused')),
  }
}

/** A signal that is aborted with the first of two. `release` lets go of both. */
function eitherSignal(a: AbortSignal, b: AbortSignal): { readonly signal: AbortSignal; release(): void } {
  const both = new AbortController()
  const fromA = () => both.abort(a.reason)
  const fromB = () => both.abort(b.reason)
  if (a.aborted) fromA()
  if (b.aborted) fromB()
  a.addEventListener('abort', fromA, { once: true })
  b.addEventListener('abort', fromB, { once: true })
  return {
    signal: both.signal,
    release() {
      a.removeEventListener('abort', fromA)
      b.removeEventListener('abort', fromB)
    },
  }
}
