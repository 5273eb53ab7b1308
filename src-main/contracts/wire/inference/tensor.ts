/**
 * Hidden states on the wire: a header of 16 bytes, then tokens × hiddenSize float32, row-major, little-endian.
 *
 *   0  kind, 1    1  dtype, 0 = float32    2  zero (2)    4  position (4)    8  tokens (4)    12  zero (4)
 *
 * The floats begin at a multiple of four, so that both sides can use them where they lie.
 */
import { maximumControlBytes } from '../frame.ts'
import { ProtocolViolationError } from '../violation.ts'
import { maximumSessionLength } from './messages.ts'

export const tensorKind = 1
export const tensorHeaderBytes = 16
const float32 = 0

export const maximumTokensPerFrame = 512
const maximumPayloadBytes = 4 * 1024 * 1024

/** Longer steps are sent as several frames. */
export function tokensPerFrame(hiddenSize: number): number {
  const fitting = Math.floor(maximumPayloadBytes / (hiddenSize * Float32Array.BYTES_PER_ELEMENT))
  return Math.max(1, Math.min(maximumTokensPerFrame, fitting))
}

/** The longest frame of a session: a full tensor, or a control message. */
export function maximumSessionFrameBytes(hiddenSize: number): number {
  const tensor = tensorHeaderBytes + tokensPerFrame(hiddenSize) * hiddenSize * Float32Array.BYTES_PER_ELEMENT
  return Math.max(maximumControlBytes, tensor)
}

export interface TensorFrame {
  readonly position: number
  readonly tokens: number
  readonly hidden: Float32Array // (tokens, hiddenSize)
}

/** Header and payload, to be written one after the other; the payload is a view of `hidden`. */
export function encodeTensor(frame: TensorFrame): { header: Uint8Array; payload: Uint8Array } {
  const header = new Uint8Array(tensorHeaderBytes)
  const view = new DataView(header.buffer)
  view.setUint8(0, tensorKind)
  view.setUint8(1, float32)
  view.setUint32(4, frame.position, true)
  view.setUint32(8, frame.tokens, true)
  const { buffer, byteOffset, byteLength } = frame.hidden
  return { header, payload: new Uint8Array(buffer, byteOffset, byteLength) }
}

/**
 * Checks everything the header says against the session and the bytes that are there; NaN and infinities are refused.
 * Throws `ProtocolViolationError`. The result is a view of `body` where that is aligned, a copy otherwise.
 */
export function decodeTensor(body: Uint8Array, session: { hiddenSize: number; maxLength: number }): TensorFrame {
  const { position, tokens } = decodeHeader(body)
  const wanted = tokens * session.hiddenSize * Float32Array.BYTES_PER_ELEMENT
  if (tokens < 1 || tokens > tokensPerFrame(session.hiddenSize)) throw violation(`${tokens} tokens`)
  if (position + tokens > Math.min(session.maxLength, maximumSessionLength)) {
    throw violation(`positions ${position} to ${position + tokens} of a session of ${session.maxLength}`)
  }
  if (body.length - tensorHeaderBytes !== wanted) {
    throw violation(`${body.length - tensorHeaderBytes} bytes for ${tokens} tokens, expected ${wanted}`)
  }
  const hidden = floatsOf(body)
  if (!hidden.every(Number.isFinite)) throw violation('values that are not finite')
  return { position, tokens, hidden }
}

function decodeHeader(body: Uint8Array): { position: number; tokens: number } {
  if (body.length < tensorHeaderBytes) throw violation(`${body.length} bytes`)
  const view = new DataView(body.buffer, body.byteOffset, tensorHeaderBytes)
  if (view.getUint8(0) !== tensorKind) throw violation(`kind ${view.getUint8(0)}`)
  if (view.getUint8(1) !== float32) throw violation(`dtype ${view.getUint8(1)}`)
  if (view.getUint16(2, true) !== 0 || view.getUint32(12, true) !== 0)
    throw violation('reserved bytes that are not zero')
  return { position: view.getUint32(4, true), tokens: view.getUint32(8, true) }
}

/** All platforms this runs on are little-endian, so the bytes are the floats. (A Node `Buffer`'s `slice` would not copy.) */
function floatsOf(body: Uint8Array): Float32Array {
  const payload = body.subarray(tensorHeaderBytes)
  const aligned = payload.byteOffset % Float32Array.BYTES_PER_ELEMENT === 0 ? payload : new Uint8Array(payload)
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.length / Float32Array.BYTES_PER_ELEMENT)
}

function violation(what: string): ProtocolViolationError {
  return new ProtocolViolationError('inference.tensor', what)
}
