/**
 * The host's end of sessions: admits, runs steps in order, and tells the `SpanHost` exactly once how each ended. A step is
 * read only when the one before has been answered, so a client that does not read is not computed for.
 */
import type { Connection, Stream } from '@libp2p/interface'
import { codeOf, type ErrorCode } from '#contracts/errors.ts'
import { maximumControlBytes } from '#contracts/wire/frame.ts'
import { decodeClientControl, encodeControl, type HostControl, isControl } from '#contracts/wire/inference/messages.ts'
import { decodeTensor, encodeTensor, maximumSessionFrameBytes } from '#contracts/wire/inference/tensor.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'
import { SessionRefusedError } from '#core/errors.ts'
import type { HostedSession, SessionRequest, SpanHost } from '#core/ports/swarm.ts'
import { createFrameChannel, type FrameChannel, StreamLostError, StreamTimeoutError } from './frame-channel.ts'
import { maxSessions, maxSessionsPerPeer, type Timeouts } from './limits.ts'
import type { Log } from './log.ts'

type Ending = Parameters<HostedSession['ended']>[0]

export interface HostedSessions {
  /** Handles one inbound stream from opening to end. Never throws. */
  accept(stream: Stream, connection: Connection): Promise<void>
  /** null ends all sessions, telling clients that the host has paused, and refuses new ones. */
  serve(host: SpanHost | null): void
  /** Resolves when no session is left. */
  settled(): Promise<void>
}

/** Thrown into a session's waits when this host stops serving. */
class HostPausedError extends Error {
  override readonly name = 'HostPausedError'
}

export function createHostedSessions(
  components: { readonly log: Log },
  init: { readonly timeouts: Timeouts },
): HostedSessions {
  const { log } = components
  const { timeouts } = init
  const perPeer = new Map<string, number>()
  const running = new Set<Promise<void>>()
  let serving: { readonly host: SpanHost; readonly pause: AbortController } | null = null

  async function accept(stream: Stream, connection: Connection): Promise<void> {
    const peerId = connection.remotePeer.toString()
    const channel = createFrameChannel(stream)
    const inUse = perPeer.get(peerId) ?? 0
    if (inUse >= maxSessionsPerPeer || running.size >= maxSessions) return await turnAway(channel)
    perPeer.set(peerId, inUse + 1)
    const run = admit(channel, peerId)
    running.add(run)
    await run
    running.delete(run)
    const left = (perPeer.get(peerId) ?? 1) - 1
    if (left === 0) perPeer.delete(peerId)
    else perPeer.set(peerId, left)
  }

  async function turnAway(channel: FrameChannel): Promise<void> {
    await say(channel, { type: 'refused', reason: 'busy' })
    await channel.close(timeouts.closeMs)
  }

  /** Never throws: every failure ends in a word to the client where that still reaches it, and a closed stream. */
  async function admit(channel: FrameChannel, peerId: string): Promise<void> {
    try {
      const session = await open(channel, peerId)
      const ending = await run(channel, session)
      await tellEnd(channel, session, ending)
    } catch (error) {
      log.debug({ peerId, error }, 'session not opened')
      await say(channel, refusalOf(error))
    }
    await channel.close(timeouts.closeMs)
  }

  async function open(channel: FrameChannel, peerId: string): Promise<Run> {
    const request = await readOpen(channel)
    if (serving === null) throw new SessionRefusedError('paused')
    const { host, pause } = serving
    const hosted = await host.open(peerId, request)
    const over = AbortSignal.any([channel.closed, pause.signal])
    return { hosted, request, peerId, paused: pause.signal, over }
  }

  async function tellEnd(channel: FrameChannel, session: Run, ending: Ending): Promise<void> {
    const { bytesReceived, bytesSent } = channel
    try {
      await session.hosted.ended(ending, { bytesReceived, bytesSent })
    } catch (error) {
      log.warn({ peerId: session.peerId, error }, 'the end of a session could not be recorded')
    }
  }

  async function readOpen(channel: FrameChannel): Promise<SessionRequest> {
    const body = await channel.read(maximumControlBytes, { waitMs: timeouts.helloMs, frameMs: timeouts.helloMs })
    if (body === null) throw new StreamLostError('closed before open')
    const message = decodeClientControl(body)
    if (message.type !== 'open') throw new ProtocolViolationError('inference', `${message.type} before open`)
    const { type: _, ...request } = message
    return request
  }

  interface Run {
    readonly hosted: HostedSession
    readonly request: SessionRequest
    readonly peerId: string
    readonly paused: AbortSignal
    /** Aborted when there is nobody left to compute for, or nobody to compute. */
    readonly over: AbortSignal
  }

  /** From `opened` to the end, however it comes. */
  async function run(channel: FrameChannel, session: Run): Promise<Ending> {
    try {
      if (session.paused.aborted) throw session.paused.reason
      await channel.write([encodeControl({ type: 'opened' })], { timeoutMs: timeouts.openMs })
      while (await step(channel, session));
      return 'completed'
    } catch (error) {
      const { ending, code } = endingOf(error, channel)
      log.debug({ peerId: session.peerId, ending, error }, 'session ended early')
      if (code !== null) await say(channel, { type: 'error', code })
      return ending
    }
  }

  /** One message from the client; false when it was `close`. */
  async function step(channel: FrameChannel, session: Run): Promise<boolean> {
    const { hosted, request, paused, over: signal } = session
    const body = await channel.read(maximumSessionFrameBytes(request.hiddenSize), {
      waitMs: timeouts.idleSessionMs,
      frameMs: timeouts.frameMs,
      signal: paused,
    })
    if (body === null) throw new StreamLostError('closed without goodbye')
    if (isControl(body)) return isGoodbye(body)
    const { position, hidden } = decodeTensor(body, request)
    const output = await untilAborted(signal, hosted.forward(hidden, position, { signal }))
    await channel.write(answerParts(output, position, hidden.length, request), { timeoutMs: timeouts.stepMs, signal })
    hosted.progressed?.({ bytesReceived: channel.bytesReceived, bytesSent: channel.bytesSent })
    return true
  }

  async function say(channel: FrameChannel, message: HostControl): Promise<void> {
    try {
      await channel.write([encodeControl(message)], { timeoutMs: timeouts.closeMs })
    } catch {
      // The client is gone; its own end says so.
    }
  }

  return {
    accept,
    serve(host) {
      serving?.pause.abort(new HostPausedError('this host has paused'))
      serving = host === null ? null : { host, pause: new AbortController() }
    },
    async settled() {
      await Promise.all(running)
    },
  }
}

function isGoodbye(body: Uint8Array): boolean {
  const { type } = decodeClientControl(body)
  if (type !== 'close') throw new ProtocolViolationError('inference', `${type} in an open session`)
  return false
}

/** What our own engine made, checked as a peer would: a wrong shape must not leave this machine as a valid answer. */
function answerParts(output: Float32Array, position: number, length: number, request: SessionRequest): Uint8Array[] {
  if (output.length !== length) throw new Error(`the host made ${output.length} values of ${length}`)
  const { header, payload } = encodeTensor({ position, tokens: length / request.hiddenSize, hidden: output.slice() })
  return [header, payload]
}

/** How a failed session counts, and what the client is told; null when nobody is there to be told. */
function endingOf(error: unknown, channel: FrameChannel): { ending: Ending; code: ErrorCode | null } {
  if (channel.closed.aborted || error instanceof StreamLostError) return { ending: 'interrupted', code: null }
  if (error instanceof HostPausedError) return { ending: 'interrupted', code: 'paused' }
  if (error instanceof StreamTimeoutError) return { ending: 'interrupted', code: 'cancelled' }
  if (error instanceof ProtocolViolationError) return { ending: 'interrupted', code: 'protocol-violation' }
  return { ending: 'failed', code: codeOf(error) }
}

function refusalOf(error: unknown): HostControl {
  if (error instanceof SessionRefusedError) return { type: 'refused', reason: error.reason }
  return { type: 'error', code: error instanceof StreamTimeoutError ? 'cancelled' : codeOf(error) }
}

/** The work's outcome, or the signal's reason as soon as it is aborted: a host that ignores the signal cannot hold us up. */
function untilAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason)
    if (signal.aborted) aborted()
    signal.addEventListener('abort', aborted, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted))
  })
}
