/**
 * Messages between peers are DAG-CBOR: one value has one encoding, so bytes can be signed and compared. Before the decoder
 * runs, the bytes' shape is walked without recursion or allocation, so that nesting and length bombs end here.
 */
import * as dagCbor from '@ipld/dag-cbor'
import * as z from 'zod'
import { findShapeFault } from '../cbor-shape.ts'
import { ProtocolViolationError } from './violation.ts'

/** No message of ours nests deeper, or has more items; counted over the whole message. */
export const maximumDepth = 6
export const maximumItems = 4096

/** A byte string of at most, or exactly, so many bytes. */
export function byteString(size: { maximum: number } | { exactly: number }) {
  const fits = (bytes: Uint8Array) => ('exactly' in size ? bytes.length === size.exactly : bytes.length <= size.maximum)
  const expected = 'exactly' in size ? `${size.exactly} bytes` : `at most ${size.maximum} bytes`
  return z.custom<Uint8Array>((value) => value instanceof Uint8Array && fits(value), {
    message: `expected ${expected}`,
  })
}

export function encodeMessage(message: unknown): Uint8Array {
  return dagCbor.encode(message)
}

/** Throws `ProtocolViolationError` for bytes that are no canonical DAG-CBOR, or whose value does not fit `schema`. */
export function decodeMessage<S extends z.ZodType>(schema: S, bytes: Uint8Array, where: string): z.output<S> {
  const fault = findShapeFault(bytes, { depth: maximumDepth, items: maximumItems })
  if (fault !== null) throw new ProtocolViolationError(where, fault)
  const value = decodeValue(bytes, where)
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new ProtocolViolationError([where, ...(issue?.path ?? [])].join('.'), issue?.message ?? 'does not fit')
}

function decodeValue(bytes: Uint8Array, where: string): unknown {
  let value: unknown
  try {
    value = dagCbor.decode(bytes)
  } catch (cause) {
    throw new ProtocolViolationError(where, 'not DAG-CBOR', { cause })
  }
  if (!sameBytes(dagCbor.encode(value), bytes)) throw new ProtocolViolationError(where, 'not canonical DAG-CBOR')
  return value
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
