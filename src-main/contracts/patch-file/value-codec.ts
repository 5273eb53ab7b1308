/**
 * Values as bytes, all little-endian: `float32`, binary16 (`float16`) and `bfloat16` one after the other, and `int8` in
 * groups of 64 (the last may be shorter) that share a scale:
 *
 *     ceil(entries / 64) scales, bfloat16      then      entries codes, int8 from -127 to 127
 *     value = code x scale
 *
 * A scale is the group's largest magnitude over 127, rounded to nearest even. bfloat16 has float32's range, so that the
 * small steps of a careful run do not vanish as they would below binary16's 6e-8; and rounding to eight bits moves
 * 127 by less than half, so a group's largest code is always +-127. That makes rounding idempotent, and files canonical:
 * other scales are refused. A group whose scale would be below the least normal bfloat16 is all zeros, with scale 0.
 */
import { PatchFormatError } from './errors.ts'
import { fromBrainFloat, fromHalfFloat, toBrainFloat, toHalfFloat } from './half-floats.ts'
import type { ValueFormat } from './header.ts'

const groupSize = 64
const largestCode = 127
const leastScale = 0x0080
const infiniteScale = 0x7f80

/** Bytes of `entries` values; fits a safe integer for every count a patch may have. */
export function encodedValueBytes(format: ValueFormat, entries: number): number {
  if (format === 'float32') return 4 * entries
  if (format === 'int8') return 2 * Math.ceil(entries / groupSize) + entries
  return 2 * entries
}

/** Throws `PatchFormatError` for a value that is not finite, or is not when rounded to `format`. */
export function encodeValues(values: Float32Array, format: ValueFormat): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(encodedValueBytes(format, values.length))
  const view = new DataView(bytes.buffer)
  if (format === 'int8') encodeGroups(values, bytes, view)
  else if (format === 'float32') encodeFloats(values, view)
  else encodeHalves(values, view, format)
  return bytes
}

/**
 * A new array of `entries` values. Throws `PatchFormatError` when `bytes` are not exactly those of so many values, when a value
 * is not finite, and when `int8` groups are not as an encoder writes them; nothing is allocated before the length fits.
 */
export function decodeValues(
  bytes: Uint8Array,
  { format, entries }: { readonly format: ValueFormat; readonly entries: number },
): Float32Array<ArrayBuffer> {
  const expected = encodedValueBytes(format, entries)
  if (bytes.length !== expected) {
    throw new PatchFormatError('values', `${bytes.length} bytes, where ${entries} of ${format} take ${expected}`)
  }
  const values = new Float32Array(entries)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (format === 'int8') decodeGroups(values, view)
  else if (format === 'float32') decodeFloats(values, view)
  else decodeHalves(values, view, format)
  return values
}

/** What a reader of the file will have: `decodeValues(encodeValues(values))`. Rounding twice changes nothing more. */
export function roundValues(values: Float32Array, format: ValueFormat): Float32Array<ArrayBuffer> {
  return decodeValues(encodeValues(values, format), { format, entries: values.length })
}

function encodeFloats(values: Float32Array, view: DataView): void {
  for (let i = 0; i < values.length; i++) view.setFloat32(4 * i, finite(values[i] as number, i), true)
}

function decodeFloats(values: Float32Array, view: DataView): void {
  for (let i = 0; i < values.length; i++) values[i] = finite(view.getFloat32(4 * i, true), i)
}

function encodeHalves(values: Float32Array, view: DataView, format: 'float16' | 'bfloat16'): void {
  const [encode, infinity] = format === 'float16' ? [toHalfFloat, 0x7c00] : [toBrainFloat, 0x7f80]
  for (let i = 0; i < values.length; i++) {
    const half = encode(finite(values[i] as number, i))
    if ((half & infinity) === infinity) throw tooLarge(values[i] as number, i, format)
    view.setUint16(2 * i, half, true)
  }
}

function decodeHalves(values: Float32Array, view: DataView, format: 'float16' | 'bfloat16'): void {
  const decode = format === 'float16' ? fromHalfFloat : fromBrainFloat
  for (let i = 0; i < values.length; i++) values[i] = finite(decode(view.getUint16(2 * i, true)), i)
}

function encodeGroups(values: Float32Array, bytes: Uint8Array, view: DataView): void {
  const codes = 2 * Math.ceil(values.length / groupSize)
  for (let start = 0, group = 0; start < values.length; start += groupSize, group++) {
    const end = Math.min(start + groupSize, values.length)
    const scaleBits = scaleOf(values, start, end)
    view.setUint16(2 * group, scaleBits, true)
    if (scaleBits === 0) continue
    const scale = fromBrainFloat(scaleBits)
    for (let i = start; i < end; i++) bytes[codes + i] = nearestEven((values[i] as number) / scale)
  }
}

function scaleOf(values: Float32Array, start: number, end: number): number {
  let largest = 0
  let at = start
  for (let i = start; i < end; i++) {
    const magnitude = Math.abs(finite(values[i] as number, i))
    if (magnitude > largest) {
      largest = magnitude
      at = i
    }
  }
  const scaleBits = toBrainFloat(largest / largestCode)
  if (scaleBits < leastScale) return 0
  if (!Number.isFinite(Math.fround(largestCode * fromBrainFloat(scaleBits)))) throw tooLarge(largest, at, 'int8')
  return scaleBits
}

/** Adding 1.5 x 2^52 leaves no bits for a fraction: the sum is rounded to an integer, ties to even, by IEEE 754 itself. */
function nearestEven(quotient: number): number {
  return quotient + 6755399441055744 - 6755399441055744
}

function decodeGroups(values: Float32Array, view: DataView): void {
  const codes = 2 * Math.ceil(values.length / groupSize)
  for (let start = 0, group = 0; start < values.length; start += groupSize, group++) {
    const scaleBits = view.getUint16(2 * group, true)
    const isScale = scaleBits === 0 || (scaleBits >= leastScale && scaleBits < infiniteScale)
    if (!isScale) throw new PatchFormatError(`scale of values ${start} on`, `0x${scaleBits.toString(16)} is no scale`)
    const end = Math.min(start + groupSize, values.length)
    const largest = decodeGroup(values, view, { codes, start, end, scale: fromBrainFloat(scaleBits) })
    if (largest !== (scaleBits === 0 ? 0 : largestCode)) {
      throw new PatchFormatError(`values ${start} to ${end}`, `the scale does not fit codes up to ${largest}`)
    }
  }
}

/** The group's largest code, without sign. */
function decodeGroup(
  values: Float32Array,
  view: DataView,
  group: { readonly codes: number; readonly start: number; readonly end: number; readonly scale: number },
): number {
  const { codes, start, end, scale } = group
  let largest = 0
  for (let i = start; i < end; i++) {
    const code = view.getInt8(codes + i)
    values[i] = finite(Math.fround(code * scale), i)
    largest = Math.max(largest, Math.abs(code))
  }
  return largest
}

function finite(value: number, at: number): number {
  if (!Number.isFinite(value)) throw new PatchFormatError(`value ${at}`, `${value} is not finite`)
  return value
}

function tooLarge(value: number, at: number, format: ValueFormat): PatchFormatError {
  return new PatchFormatError(`value ${at}`, `${value} is too large for ${format}`)
}
