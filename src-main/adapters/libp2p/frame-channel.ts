/**
 * Frames over a libp2p stream, one reader and one writer at a time. What arrives ahead of its reader is bounded: the stream is
 * paused, and the other side's window runs out. Counts every byte of the stream's payload, prefixes included.
 */
import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { createFrameAssembler, encodeFramePrefix } from '#contracts/wire/frame.ts'
import { readAheadBytes } from './limits.ts'

/** The stream ended without its protocol's goodbye. */
export class StreamLostError extends Error {
  override readonly name = 'StreamLostError'
}

/** The other side took too long. */
export class StreamTimeoutError extends Error {
  override readonly name = 'StreamTimeoutError'
}

/** Smaller frames go out in one piece: one encryption, one packet, nothing held back to wait for an acknowledgement. */
const joinBelowBytes = 64 * 1024

export interface ReadOptions {
  /** Until the frame's first byte. */
  readonly waitMs: number
  /** From the frame's first byte to its last. */
  readonly frameMs: number
  readonly signal?: AbortSignal
}

export interface FrameChannel {
  readonly bytesReceived: number
  readonly bytesSent: number
  /** Aborted as soon as nothing can be exchanged any more. */
  readonly closed: AbortSignal
  /**
   * The next frame's body; null when the other side closed its end between two frames. Throws `ProtocolViolationError`,
   * `StreamLostError`, `StreamTimeoutError`, or the signal's reason.
   */
  read(limitBytes: number, options: ReadOptions): Promise<Uint8Array | null>
  /** Sends one frame made of `parts`, which must not be changed afterwards. Throws as `read` does. */
  write(parts: readonly Uint8Array[], options: { timeoutMs: number; signal?: AbortSignal }): Promise<void>
  /** Closes our end and waits for the other side to do so too, at most `timeoutMs`; then resets. Never throws. */
  close(timeoutMs: number): Promise<void>
  abort(error: Error): void
}

export function createFrameChannel(stream: Stream): FrameChannel {
  const assembler = createFrameAssembler(stream.protocol)
  const closed = new AbortController()
  let bytesReceived = 0
  let bytesSent = 0
  let allowance = readAheadBytes
  let ended = stream.readableEnded
  let wake: () => void = () => {}

  stream.addEventListener('message', (event: StreamMessageEvent) => {
    bytesReceived += event.data.byteLength
    if (event.data instanceof Uint8Array) assembler.push(event.data)
    else for (const part of event.data) assembler.push(part)
    if (assembler.bufferedBytes > allowance && stream.readStatus === 'readable') stream.pause()
    wake()
  })
  stream.addEventListener('end', () => {
    ended = true
    wake()
  })
  stream.addEventListener('close', (event: StreamCloseEvent) => {
    closed.abort(new StreamLostError('the stream is closed', { cause: event.error }))
    wake()
  })
  if (stream.status !== 'open') closed.abort(new StreamLostError('the stream is closed'))

  /** True when the stream was paused; what had been held back has then been pushed already. */
  function resume(): boolean {
    if (stream.readStatus !== 'paused' || assembler.bufferedBytes > allowance) return false
    stream.resume()
    return true
  }

  function more(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', aborted)
        wake = () => {}
        act()
      }
      const aborted = () => settle(() => reject(signal?.reason))
      const late = () => settle(() => reject(new StreamTimeoutError(`nothing for ${timeoutMs} ms`)))
      const timer = setTimeout(late, timeoutMs)
      if (signal?.aborted) return aborted()
      signal?.addEventListener('abort', aborted, { once: true })
      wake = () => settle(resolve)
    })
  }

  async function read(limitBytes: number, options: ReadOptions): Promise<Uint8Array | null> {
    allowance = limitBytes + readAheadBytes
    let deadlineMs: number | null = null
    try {
      for (;;) {
        const body = assembler.next(limitBytes)
        if (body !== null) return body
        options.signal?.throwIfAborted()
        if (resume()) continue
        if (ended || (closed.signal.aborted && stream.readBufferLength === 0)) return atEnd()
        if (assembler.begun) deadlineMs ??= performance.now() + options.frameMs
        const waitMs = deadlineMs === null ? options.waitMs : deadlineMs - performance.now()
        await more(Math.max(0, waitMs), options.signal)
      }
    } finally {
      allowance = readAheadBytes
    }
  }

  function atEnd(): null {
    if (assembler.begun) throw new StreamLostError('the stream ended inside a frame')
    if (stream.status === 'reset' || stream.status === 'aborted') closed.signal.throwIfAborted()
    return null
  }

  async function write(parts: readonly Uint8Array[], options: { timeoutMs: number; signal?: AbortSignal }) {
    closed.signal.throwIfAborted()
    const length = parts.reduce((sum, part) => sum + part.length, 0)
    const frame = [encodeFramePrefix(length), ...parts]
    let canSendMore = true
    try {
      for (const part of length <= joinBelowBytes ? [joined(frame)] : frame) {
        bytesSent += part.length
        canSendMore = stream.send(part)
      }
    } catch (cause) {
      throw new StreamLostError('the stream takes no more', { cause })
    }
    if (!canSendMore) await drained(options)
  }

  async function drained(options: { timeoutMs: number; signal?: AbortSignal }): Promise<void> {
    const timeout = AbortSignal.timeout(options.timeoutMs)
    const signal = AbortSignal.any([timeout, closed.signal, ...(options.signal ? [options.signal] : [])])
    try {
      await stream.onDrain({ signal })
    } catch (cause) {
      options.signal?.throwIfAborted()
      if (timeout.aborted) throw new StreamTimeoutError(`not taken within ${options.timeoutMs} ms`, { cause })
      throw new StreamLostError('the stream is closed', { cause })
    }
  }

  async function close(timeoutMs: number): Promise<void> {
    const timeout = AbortSignal.timeout(timeoutMs)
    try {
      if (stream.readStatus === 'paused') stream.resume()
      await stream.close({ signal: AbortSignal.any([timeout, closed.signal]) })
      await abortedOf(AbortSignal.any([timeout, closed.signal]))
    } catch {
      // Closed or timed out meanwhile: the reset below is all that is left to do.
    }
    if (!closed.signal.aborted) stream.abort(new StreamTimeoutError('not closed in time by the other side'))
  }

  return {
    get bytesReceived() {
      return bytesReceived
    },
    get bytesSent() {
      return bytesSent
    },
    closed: closed.signal,
    read,
    write,
    close,
    abort: (error) => stream.abort(error),
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

function abortedOf(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
