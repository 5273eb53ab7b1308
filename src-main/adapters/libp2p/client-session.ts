/** The client's end of a session: one stream, one step at a time, and whatever goes wrong ends it. */
import type { Stream } from '@libp2p/interface'
import { CodedError, InvalidInputError } from '#contracts/errors.ts'
import { maximumControlBytes } from '#contracts/wire/frame.ts'
import { type ClientControl, decodeHostControl, encodeControl, isControl } from '#contracts/wire/inference/messages.ts'
import {
  decodeTensor,
  encodeTensor,
  maximumSessionFrameBytes,
  tokensPerFrame,
} from '#contracts/wire/inference/tensor.ts'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'
import { PeerLostError, SessionRefusedError } from '#core/errors.ts'
import type { RemoteSession, SessionRequest } from '#core/ports/swarm.ts'
import { asError } from './as-error.ts'
import { createFrameChannel, type FrameChannel, StreamLostError } from './frame-channel.ts'
import type { Timeouts } from './limits.ts'

interface ClientInit {
  readonly peerId: string
  readonly request: SessionRequest
  readonly timeouts: Timeouts
  /** The peer failed us; not called for refusals, nor when the caller gave up. */
  readonly onLost: (error: PeerLostError) => void
  readonly signal?: AbortSignal
}

/** Says `open` on a fresh stream. Throws `SessionRefusedError`, `PeerLostError` or the signal's reason. */
export async function openClientSession(stream: Stream, init: ClientInit): Promise<RemoteSession> {
  const channel = createFrameChannel(stream)
  const { closeMs } = init.timeouts
  const openMs = init.request.patches ? init.timeouts.openPatchedMs : init.timeouts.openMs
  const signal = init.signal ? { signal: init.signal } : {}
  try {
    await channel.write([encodeControl(openMessage(init.request))], { timeoutMs: openMs, ...signal })
    const body = await channel.read(maximumControlBytes, { waitMs: openMs, frameMs: openMs, ...signal })
    if (body === null) throw new StreamLostError('it closed the stream before answering')
    const answer = decodeHostControl(body)
    if (answer.type === 'refused') throw new SessionRefusedError(answer.reason)
    if (answer.type === 'error') throw new CodedError(answer.code, `the host reported ${answer.code}`)
    return createRemoteSession(channel, init)
  } catch (error) {
    if (error instanceof SessionRefusedError) void channel.close(closeMs)
    else channel.abort(asError(error))
    throw failureOf(error, init, init.signal)
  }
}

function openMessage({ patches, ...request }: SessionRequest): ClientControl {
  return { type: 'open', ...request, ...(patches && { patches: [...patches] }) }
}

/** What a caller is told: its own abort, a refusal, or a lost peer with the cause. */
function failureOf(error: unknown, init: ClientInit, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason
  if (error instanceof SessionRefusedError) return error
  const lost = new PeerLostError(init.peerId, asError(error).message, { cause: error })
  init.onLost(lost)
  return lost
}

function createRemoteSession(channel: FrameChannel, init: ClientInit): RemoteSession {
  const { peerId, request, timeouts } = init
  const { hiddenSize, maxLength } = request
  let state: 'open' | 'stepping' | 'closed' = 'open'
  let closing: Promise<void> | null = null

  async function step(hidden: Float32Array, position: number, signal: AbortSignal | undefined): Promise<Float32Array> {
    const tokens = hidden.length / hiddenSize
    const until = signal ? { signal } : {}
    const { header, payload } = encodeTensor({ position, tokens, hidden })
    await channel.write([header, payload], { timeoutMs: timeouts.stepMs, ...until })
    const body = await channel.read(maximumSessionFrameBytes(hiddenSize), {
      waitMs: timeouts.stepMs,
      frameMs: timeouts.frameMs,
      ...until,
    })
    if (body === null) throw new StreamLostError('it closed the stream in the middle of a step')
    if (isControl(body)) throw reported(body)
    const result = decodeTensor(body, { hiddenSize, maxLength })
    if (result.position === position && result.tokens === tokens) return result.hidden
    throw new ProtocolViolationError('inference', `answered positions from ${result.position}, asked for ${position}`)
  }

  /** Long steps go in several frames, each answered before the next is sent. */
  async function steps(hidden: Float32Array, position: number, signal: AbortSignal | undefined): Promise<Float32Array> {
    const perFrame = tokensPerFrame(hiddenSize) * hiddenSize
    if (hidden.length <= perFrame) return await step(hidden.slice(), position, signal)
    const output = new Float32Array(hidden.length)
    for (let offset = 0; offset < hidden.length; offset += perFrame) {
      const part = hidden.slice(offset, offset + perFrame)
      output.set(await step(part, position + offset / hiddenSize, signal), offset)
    }
    return output
  }

  function checkStep(hidden: Float32Array, position: number): void {
    const tokens = hidden.length / hiddenSize
    if (!Number.isInteger(tokens) || tokens === 0) {
      throw new InvalidInputError('hidden', `${hidden.length} values are no multiple of ${hiddenSize}`)
    }
    if (!Number.isInteger(position) || position < 0 || position + tokens > maxLength) {
      throw new InvalidInputError('position', `${position} with ${tokens} tokens in a session of ${maxLength}`)
    }
    if (state === 'stepping') throw new InvalidInputError('forward', 'steps of one session do not overlap')
  }

  return {
    peerId,
    span: request.span,
    get bytesSent() {
      return channel.bytesSent
    },
    get bytesReceived() {
      return channel.bytesReceived
    },
    async forward(hidden, position, options = {}) {
      checkStep(hidden, position)
      if (state === 'closed') throw new PeerLostError(peerId, 'the session is closed')
      state = 'stepping'
      try {
        options.signal?.throwIfAborted()
        const output = await steps(hidden, position, options.signal)
        if (state === 'stepping') state = 'open'
        return output
      } catch (error) {
        state = 'closed'
        channel.abort(asError(error))
        throw failureOf(error, init, options.signal)
      }
    },
    close() {
      closing ??= state === 'open' ? goodbye(channel, timeouts.closeMs) : discard(channel)
      state = 'closed'
      return closing
    },
  }
}

async function goodbye(channel: FrameChannel, closeMs: number): Promise<void> {
  try {
    await channel.write([encodeControl({ type: 'close' })], { timeoutMs: closeMs })
  } catch {
    // The host is gone already; there is nobody to tell.
  }
  await channel.close(closeMs)
}

async function discard(channel: FrameChannel): Promise<void> {
  channel.abort(new Error('closed in the middle of a step'))
}

function reported(body: Uint8Array): Error {
  const message = decodeHostControl(body)
  if (message.type === 'error') return new CodedError(message.code, `the host reported ${message.code}`)
  return new ProtocolViolationError('inference', `${message.type} in the middle of a session`)
}
