/**
 * Messages between peers are DAG-CBOR: one value has one encoding, so bytes can be signed and compared. Before the decoder
 * runs, the bytes' shape is walked without recursion or allocation, so that nesting and length bombs end here.
 */
import * as dagCbor from '@ipld/dag-cbor'
import * as z from 'zod'
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
  checkShape(bytes, where)
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

const majorBytes = 2
const majorText = 3
const majorArray = 4
const majorMap = 5
const majorTag = 6

/** Walks the items of one CBOR value (RFC 8949, section 3), counting depth and items; strings are stepped over. */
function checkShape(bytes: Uint8Array, where: string): void {
  const open: number[] = [1] // items still to come, per level
  let offset = 0
  let items = 0
  while (open.length > 0) {
    const left = open.pop() ?? 0
    if (left === 0) continue
    open.push(left - 1)
    const head = readHead(bytes, offset, where)
    offset = head.end
    items += 1
    if (items > maximumItems) throw new ProtocolViolationError(where, `more than ${maximumItems} items`)
    if (head.major === majorBytes || head.major === majorText) offset += head.value
    if (offset > bytes.length) throw new ProtocolViolationError(where, 'ends inside a string')
    const children = head.major === majorArray ? head.value : head.major === majorMap ? head.value * 2 : 0
    if (children > bytes.length) throw new ProtocolViolationError(where, 'has fewer items than it says')
    if (children > 0) open.push(children)
    if (open.length > maximumDepth + 1) throw new ProtocolViolationError(where, `nested deeper than ${maximumDepth}`)
  }
  if (offset !== bytes.length) throw new ProtocolViolationError(where, 'bytes left over')
}

function readHead(bytes: Uint8Array, offset: number, where: string): { major: number; value: number; end: number } {
  const first = bytes[offset]
  if (first === undefined) throw new ProtocolViolationError(where, 'cut short')
  const major = first >> 5
  const info = first & 31
  if (major === majorTag) throw new ProtocolViolationError(where, 'has a tag')
  if (info > 27) throw new ProtocolViolationError(where, 'has an item without a length')
  const width = info < 24 ? 0 : 2 ** (info - 24)
  const end = offset + 1 + width
  if (end > bytes.length) throw new ProtocolViolationError(where, 'cut short')
  let value = info < 24 ? info : 0
  for (let index = offset + 1; index < end; index += 1) value = value * 256 + (bytes[index] ?? 0)
  return { major, value, end }
}
