/**
 * `inference`: one session on one stream. The client sends `open` and is answered `opened` or `refused`; then tensors go
 * back and forth, one answer to each in order; `close` ends it well. A host that cannot go on says `error` and ends it.
 * A frame's first byte tells its kind: 0 is control (DAG-CBOR follows), 1 a tensor (`./tensor.ts`).
 */
import * as z from 'zod'
import { digestSchema } from '../../digest.ts'
import { errorCodes } from '../../errors.ts'
import { spanSchema } from '../../span.ts'
import { decodeMessage, encodeMessage } from '../cbor.ts'
import { maximumControlBytes } from '../frame.ts'
import { ProtocolViolationError } from '../violation.ts'

export const inferenceProtocol = '/quiltbee/inference/1.0.0'
export const controlKind = 0

export const maximumHiddenSize = 1 << 16
export const maximumSessionLength = 1 << 24

export const refusalReasons = ['paused', 'busy', 'wrong-model', 'wrong-span', 'too-long', 'unknown-patch'] as const

/** Patches a session may ask for; the host fetches those it lacks. */
export const maximumPatches = 8

export const openSchema = z.strictObject({
  type: z.literal('open'),
  sessionId: z.uuid(),
  modelDigest: digestSchema,
  span: spanSchema,
  maxLength: z.int().min(1).max(maximumSessionLength),
  hiddenSize: z.int().min(1).max(maximumHiddenSize),
  /** Applied together, in this session only; left out when there are none. */
  patches: z.array(digestSchema).min(1).max(maximumPatches).exactOptional(),
})
export const clientControlSchema = z.discriminatedUnion('type', [
  openSchema,
  z.strictObject({ type: z.literal('close') }),
])
export const hostControlSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('opened') }),
  z.strictObject({ type: z.literal('refused'), reason: z.enum(refusalReasons) }),
  z.strictObject({ type: z.literal('error'), code: z.enum(errorCodes) }),
])
export type ClientControl = Readonly<z.infer<typeof clientControlSchema>>
export type HostControl = Readonly<z.infer<typeof hostControlSchema>>

export function encodeControl(message: ClientControl | HostControl): Uint8Array {
  const value = encodeMessage(message)
  const body = new Uint8Array(1 + value.length)
  body[0] = controlKind
  body.set(value, 1)
  return body
}

export function isControl(body: Uint8Array): boolean {
  return body[0] === controlKind
}

export function decodeClientControl(body: Uint8Array): ClientControl {
  return decodeMessage(clientControlSchema, controlValue(body), 'inference.client')
}

export function decodeHostControl(body: Uint8Array): HostControl {
  return decodeMessage(hostControlSchema, controlValue(body), 'inference.host')
}

function controlValue(body: Uint8Array): Uint8Array {
  if (!isControl(body)) throw new ProtocolViolationError('inference', `frame of kind ${body[0]} instead of control`)
  if (body.length > maximumControlBytes) throw new ProtocolViolationError('inference', 'control frame too long')
  return body.subarray(1)
}
