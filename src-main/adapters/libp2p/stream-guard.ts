/**
 * A guard before the readers of kad-dht and gossipsub, whose frames are length-prefixed like ours. kad-dht 16 reads frames of
 * any length and, given a length that never ends, decodes it anew for each byte of it: one peer could stop this process with
 * two megabytes. gossipsub 17 works through any number of empty frames. The guard resets such streams before they are read.
 */
import type { Stream, StreamMessageEvent } from '@libp2p/interface'
import type { KadDHTComponents } from '@libp2p/kad-dht'
import { ProtocolViolationError } from '#contracts/wire/violation.ts'
import { asError } from './as-error.ts'
import type { FrameLimits } from './limits.ts'

type Registrar = KadDHTComponents['registrar']
type ConnectionManager = KadDHTComponents['connectionManager']

const maximumPrefixBytes = 4

export interface FrameGuard {
  /** Follows the frames in a stream's next bytes. Throws `ProtocolViolationError` when they break the limits. */
  follow(chunk: Uint8Array): void
}

export function createFrameGuard(where: string, limits: FrameLimits, nowMs: () => number): FrameGuard {
  let prefixBytes = 0
  let length = 0
  let bodyLeft = 0
  let frames = 0
  let windowEndsAtMs = Number.NEGATIVE_INFINITY

  function countFrame(): void {
    const now = nowMs()
    if (now >= windowEndsAtMs) {
      windowEndsAtMs = now + limits.seconds * 1_000
      frames = 0
    }
    frames += 1
    if (frames > limits.frames) throw new ProtocolViolationError(where, `more than ${limits.frames} frames`)
  }

  function followPrefix(byte: number): void {
    length += (byte & 127) * 2 ** (7 * prefixBytes)
    prefixBytes += 1
    if (byte > 127 && prefixBytes === maximumPrefixBytes)
      throw new ProtocolViolationError(where, 'endless frame length')
    if (byte > 127) return
    if (length === 0 || length > limits.maximumBytes)
      throw new ProtocolViolationError(where, `frame of ${length} bytes`)
    countFrame()
    bodyLeft = length
    length = 0
    prefixBytes = 0
  }

  return {
    follow(chunk) {
      let offset = 0
      while (offset < chunk.length) {
        const skipped = Math.min(bodyLeft, chunk.length - offset)
        bodyLeft -= skipped
        offset += skipped
        const byte = chunk[offset]
        if (byte === undefined) return
        followPrefix(byte)
        offset += 1
      }
    },
  }
}

/** Lets nobody see a message of the stream that the guard has not followed; resets the stream at the first violation. */
export function guardStream(stream: Stream, limits: FrameLimits): Stream {
  const guard = createFrameGuard(stream.protocol, limits, () => performance.now())
  const add = stream.addEventListener.bind(stream)
  const seen = new WeakSet<StreamMessageEvent>()

  function pass(event: StreamMessageEvent): boolean {
    if (stream.status === 'aborted') return false
    if (seen.has(event)) return true
    seen.add(event)
    try {
      if (event.data instanceof Uint8Array) guard.follow(event.data)
      else for (const part of event.data) guard.follow(part)
      return true
    } catch (error) {
      stream.abort(asError(error))
      return false
    }
  }

  const guardedAdd: typeof stream.addEventListener = (type, listener, options) => {
    if (type !== 'message' || !listener) return add(type, listener, options)
    const handle = typeof listener === 'function' ? listener : listener.handleEvent.bind(listener)
    const guarded = (event: unknown) => {
      if (pass(event as StreamMessageEvent)) handle(event as Parameters<typeof handle>[0])
    }
    add(type, guarded, options)
  }
  stream.addEventListener = guardedAdd
  return stream
}

/** The components with every stream a service handles or opens under guard. */
export function guardedComponents<T extends { registrar: Registrar; connectionManager: ConnectionManager }>(
  components: T,
  limits: FrameLimits,
): T {
  const { registrar, connectionManager } = components
  const handle: Registrar['handle'] = (protocol, handler, options) =>
    registrar.handle(protocol, (stream, connection) => handler(guardStream(stream, limits), connection), options)
  const openStream: ConnectionManager['openStream'] = async (...args) =>
    guardStream(await connectionManager.openStream(...args), limits)
  return overlay(components, {
    registrar: overlay(registrar, { handle }),
    connectionManager: overlay(connectionManager, { openStream }),
  })
}

/** `target` with some members replaced; methods still run on `target` itself. */
function overlay<T extends object>(target: T, replaced: object): T {
  return new Proxy(target, {
    get(_, key) {
      const value: unknown = Reflect.get(Object.hasOwn(replaced, key) ? replaced : target, key)
      return typeof value === 'function' && !Object.hasOwn(replaced, key) ? value.bind(target) : value
    },
  })
}
