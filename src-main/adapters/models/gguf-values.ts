/**
 * The values of a GGUF file, one at a time. A count is compared with the bytes that are left before anyone allocates for
 * it, and a text with its length.
 */
import type { ModelFormatError } from '#core/errors.ts'
import type { GgufCursor } from './gguf-cursor.ts'

/** In the order of their numbers in the file. */
export const ggufValueTypes = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const
export type GgufValueType = (typeof ggufValueTypes)[number]
export type GgufNumberType = Exclude<GgufValueType, 'string' | 'array'>

export const ggufNumberBytes: Readonly<Record<GgufNumberType, number>> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  uint64: 8,
  int64: 8,
  float64: 8,
}

/** A length and that many bytes of UTF-8. Throws `ModelFormatError`. */
export async function readGgufString(cursor: GgufCursor, field: string, mostBytes: number): Promise<string> {
  const bytes = await readGgufStringLength(cursor, field)
  if (bytes > mostBytes) throw tooLong(cursor, field, bytes)
  await cursor.need(bytes, field)
  return takeGgufText(cursor, bytes, field)
}

/** A length or a place. What is beyond 2^53 is beyond every file, so rounding does no harm. */
export async function readGgufUint64(cursor: GgufCursor, field: string): Promise<number> {
  const waiting = cursor.need(8, field)
  if (waiting !== null) await waiting
  return takeGgufNumber(cursor, 'uint64', field)
}

export async function readGgufUint32(cursor: GgufCursor, field: string): Promise<number> {
  await cursor.need(4, field)
  return takeGgufNumber(cursor, 'uint32', field)
}

/** How many of something follow, each of at least `leastBytes`: never more than the file can hold. */
export async function readGgufCount(
  cursor: GgufCursor,
  field: string,
  most: number,
  leastBytes: number,
): Promise<number> {
  const at = cursor.position
  const count = await readGgufUint64(cursor, field)
  if (count > most) throw cursor.wrong(field, `${count} elements, at most ${most} are read`, at)
  if (count * leastBytes > cursor.remainingBytes) {
    throw cursor.wrong(field, `${count} elements do not fit into the ${cursor.remainingBytes} bytes that follow`, at)
  }
  return count
}

export async function readGgufStringLength(cursor: GgufCursor, field: string): Promise<number> {
  const at = cursor.position
  const bytes = await readGgufUint64(cursor, field)
  if (bytes > cursor.remainingBytes) {
    throw cursor.wrong(field, `a text of ${bytes} bytes, ${cursor.remainingBytes} follow`, at)
  }
  return bytes
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function takeGgufText(cursor: GgufCursor, bytes: number, field: string): string {
  const { view, at } = cursor.take(bytes)
  try {
    return utf8.decode(new Uint8Array(view.buffer, view.byteOffset + at, bytes))
  } catch {
    throw cursor.wrong(field, 'not UTF-8', cursor.position - bytes)
  }
}

export function takeGgufNumber(cursor: GgufCursor, type: GgufNumberType, field: string): number {
  const { view, at } = cursor.take(ggufNumberBytes[type])
  switch (type) {
    case 'uint8':
      return view.getUint8(at)
    case 'int8':
      return view.getInt8(at)
    case 'uint16':
      return view.getUint16(at, true)
    case 'int16':
      return view.getInt16(at, true)
    case 'uint32':
      return view.getUint32(at, true)
    case 'int32':
      return view.getInt32(at, true)
    case 'float32':
      return view.getFloat32(at, true)
    case 'uint64':
      return Number(view.getBigUint64(at, true))
    case 'int64':
      return Number(view.getBigInt64(at, true))
    case 'float64':
      return view.getFloat64(at, true)
    case 'bool':
      return takenBool(cursor, view.getUint8(at), field)
  }
}

function takenBool(cursor: GgufCursor, byte: number, field: string): number {
  if (byte > 1) throw cursor.wrong(field, `${byte} is neither true nor false`, cursor.position - 1)
  return byte
}

export function tooLong(cursor: GgufCursor, field: string, bytes: number): ModelFormatError {
  return cursor.wrong(field, `a text of ${bytes} bytes is too long`, cursor.position - 8)
}
