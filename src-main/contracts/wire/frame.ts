/**
 * Frames on a stream: an unsigned LEB128 length of at most four bytes, then that many bytes. The length is judged as soon
 * as it is read, before anything is kept or allocated for the body.
 */
import { ProtocolViolationError } from './violation.ts'

/** Every control message fits into this. */
export const maximumControlBytes = 64 * 1024

const maximumPrefixBytes = 4
export const maximumFrameBytes = 2 ** (7 * maximumPrefixBytes) - 1

/** The length of `bodyBytes` as it stands before the body. */
export function encodeFramePrefix(bodyBytes: number): Uint8Array {
  if (!Number.isInteger(bodyBytes) || bodyBytes < 1 || bodyBytes > maximumFrameBytes) {
    throw new RangeError(`a frame of ${bodyBytes} bytes`)
  }
  const prefix: number[] = []
  let rest = bodyBytes
  while (rest > 127) {
    prefix.push((rest & 127) | 128)
    rest >>>= 7
  }
  return Uint8Array.of(...prefix, rest)
}

/** Bytes in, whole frames out. Holds what was pushed and not yet taken; the caller bounds that by not pushing more. */
export interface FrameAssembler {
  readonly bufferedBytes: number
  /** True from a frame's first byte until its body has been taken. */
  readonly begun: boolean
  push(chunk: Uint8Array): void
  /**
   * The next frame's body, or null until all of it has been pushed. Throws `ProtocolViolationError` for a length of zero,
   * above `limitBytes`, longer than four bytes, or not in its shortest form.
   */
  next(limitBytes: number): Uint8Array | null
}

export function createFrameAssembler(where: string): FrameAssembler {
  const chunks: Uint8Array[] = []
  let bufferedBytes = 0
  let bodyBytes: number | null = null

  /** Takes `length` bytes off the front; a view when they lie in one chunk, a fresh array otherwise. */
  function take(length: number): Uint8Array {
    const first = chunks[0]
    bufferedBytes -= length
    if (first !== undefined && first.length >= length) {
      if (first.length === length) chunks.shift()
      else chunks[0] = first.subarray(length)
      return first.subarray(0, length)
    }
    return gather(length)
  }

  function gather(length: number): Uint8Array {
    const body = new Uint8Array(length)
    let filled = 0
    let used = 0
    for (const chunk of chunks) {
      const part = chunk.subarray(0, length - filled)
      body.set(part, filled)
      filled += part.length
      if (part.length < chunk.length) chunks[used] = chunk.subarray(part.length)
      else used += 1
      if (filled === length) break
    }
    chunks.splice(0, used)
    return body
  }

  function readPrefix(): number | null {
    let length = 0
    let index = 0
    for (const chunk of chunks) {
      for (const byte of chunk) {
        length += (byte & 127) * 2 ** (7 * index)
        index += 1
        if (byte < 128) {
          if (byte === 0 && index > 1) throw new ProtocolViolationError(where, 'frame length not in its shortest form')
          take(index)
          return length
        }
        if (index === maximumPrefixBytes)
          throw new ProtocolViolationError(where, 'frame length of more than four bytes')
      }
    }
    return null
  }

  return {
    get bufferedBytes() {
      return bufferedBytes
    },
    get begun() {
      return bodyBytes !== null || bufferedBytes > 0
    },
    push(chunk) {
      if (chunk.length === 0) return
      // A plain view: subclasses (Node's Buffer) give `slice` another meaning.
      chunks.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength))
      bufferedBytes += chunk.length
    },
    next(limitBytes) {
      bodyBytes ??= readPrefix()
      if (bodyBytes === null) return null
      if (bodyBytes === 0) throw new ProtocolViolationError(where, 'empty frame')
      if (bodyBytes > limitBytes) {
        throw new ProtocolViolationError(where, `frame of ${bodyBytes} bytes, at most ${limitBytes} are allowed`)
      }
      if (bufferedBytes < bodyBytes) return null
      const body = take(bodyBytes)
      bodyBytes = null
      return body
    },
  }
}
