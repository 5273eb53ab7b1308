/**
 * GGUF's metadata: named values, scalars and flat arrays. Every count is compared with the bytes that are left before
 * anything is allocated for it. What this program has no use for (long texts, large arrays under other keys) is passed
 * over: its place is checked, its content not kept.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import type { GgufCursor } from './gguf-cursor.ts'
import {
  type GgufNumberType,
  type GgufValueType,
  ggufNumberBytes,
  ggufValueTypes,
  readGgufCount,
  readGgufString,
  readGgufStringLength,
  readGgufUint32,
  takeGgufNumber,
  takeGgufText,
  tooLong,
} from './gguf-values.ts'

/** `value` is null when it was passed over. A bool is 0 or 1. 64-bit integers beyond 2^53 are rounded, and so not safe. */
export type GgufValue = { readonly at: number } & (
  | { readonly kind: 'number'; readonly type: GgufNumberType; readonly value: number }
  | { readonly kind: 'string'; readonly value: string | null }
  | { readonly kind: 'numbers'; readonly type: GgufNumberType; readonly value: Float64Array | null }
  | { readonly kind: 'strings'; readonly value: readonly string[] | null }
)

export type GgufMetadata = ReadonlyMap<string, GgufValue>

/** Far above any real file; together they bound what a file made to harm can make us hold to some 200 MB. */
export const ggufLimits = {
  keys: 1 << 12,
  keyBytes: 1 << 10,
  /** Of texts and pieces that are kept. */
  stringBytes: 1 << 12,
  arrayElements: 1 << 21,
  /** Of arrays that are kept under any key. */
  smallArrayElements: 1 << 10,
} as const

/** Arrays that are kept however long they are. */
const vocabularyKeys: ReadonlySet<string> = new Set(
  ['tokens', 'scores', 'token_type', 'merges'].map((name) => `tokenizer.ggml.${name}`),
)

/** Reads `count` pairs. Throws `ModelFormatError`. */
export async function readGgufMetadata(cursor: GgufCursor, count: number): Promise<GgufMetadata> {
  const metadata = new Map<string, GgufValue>()
  for (let index = 0; index < count; index++) {
    const at = cursor.position
    const key = await readGgufString(cursor, `key ${index}`, ggufLimits.keyBytes)
    if (metadata.has(key)) throw cursor.wrong(quoted(key), 'the key occurs twice', at)
    metadata.set(key, await readValue(cursor, key))
  }
  return metadata
}

async function readValue(cursor: GgufCursor, key: string): Promise<GgufValue> {
  const field = quoted(key)
  const type = await readType(cursor, field)
  const at = cursor.position
  if (type === 'array') return readArray(cursor, key, field)
  if (type === 'string') return { kind: 'string', at, value: await readTextOrSkip(cursor, field) }
  await cursor.need(ggufNumberBytes[type], field)
  return { kind: 'number', type, at, value: takeGgufNumber(cursor, type, field) }
}

async function readType(cursor: GgufCursor, field: string): Promise<GgufValueType> {
  const at = cursor.position
  const number = await readGgufUint32(cursor, `type of ${field}`)
  const type = ggufValueTypes[number]
  if (type === undefined) throw cursor.wrong(field, `value type ${number} is not one of 0 to 12`, at)
  return type
}

async function readArray(cursor: GgufCursor, key: string, field: string): Promise<GgufValue> {
  const at = cursor.position
  const type = await readType(cursor, field)
  if (type === 'array') throw cursor.wrong(field, 'an array of arrays is not read', at)
  const elementBytes = type === 'string' ? 8 : ggufNumberBytes[type]
  const count = await readGgufCount(cursor, field, ggufLimits.arrayElements, elementBytes)
  const isKept = count <= ggufLimits.smallArrayElements || vocabularyKeys.has(key)
  if (type === 'string') {
    return {
      kind: 'strings',
      at,
      value: isKept ? await readStrings(cursor, field, count) : await skipStrings(cursor, field, count),
    }
  }
  if (isKept) return { kind: 'numbers', type, at, value: await readNumbers(cursor, field, type, count) }
  cursor.skip(count * elementBytes, field)
  return { kind: 'numbers', type, at, value: null }
}

async function readNumbers(
  cursor: GgufCursor,
  field: string,
  type: GgufNumberType,
  count: number,
): Promise<Float64Array> {
  const values = new Float64Array(count)
  for (let index = 0; index < count; index++) {
    const waiting = cursor.need(ggufNumberBytes[type], field)
    if (waiting !== null) await waiting
    values[index] = takeGgufNumber(cursor, type, field)
  }
  return values
}

async function readStrings(cursor: GgufCursor, field: string, count: number): Promise<string[]> {
  const values: string[] = []
  for (let index = 0; index < count; index++) {
    const bytes = await readGgufStringLength(cursor, field)
    if (bytes > ggufLimits.stringBytes) throw tooLong(cursor, field, bytes)
    const waiting = cursor.need(bytes, field)
    if (waiting !== null) await waiting
    values.push(takeGgufText(cursor, bytes, field))
  }
  return values
}

async function skipStrings(cursor: GgufCursor, field: string, count: number): Promise<null> {
  for (let index = 0; index < count; index++) cursor.skip(await readGgufStringLength(cursor, field), field)
  return null
}

async function readTextOrSkip(cursor: GgufCursor, field: string): Promise<string | null> {
  const bytes = await readGgufStringLength(cursor, field)
  if (bytes > ggufLimits.stringBytes) {
    cursor.skip(bytes, field)
    return null
  }
  await cursor.need(bytes, field)
  return takeGgufText(cursor, bytes, field)
}

function quoted(key: string): string {
  return key.length > 128 ? `${key.slice(0, 128)}…` : key
}
