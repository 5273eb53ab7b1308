/**
 * Floats to GGUF's stored types, for tests and benches. Q8_0, Q4_0 and Q4_1 as ggml's reference does them; the K types
 * simply: valid blocks with the scales that the extremes of each group ask for, without ggml's search for better ones.
 */
import { type Dtype, dtypeBlocks, storedBytes } from '#contracts/model/manifest.ts'

/** values: whole blocks -> their bytes. */
export function quantise(dtype: Dtype, values: Float32Array): Uint8Array {
  if (values.length % dtypeBlocks[dtype].elements !== 0) throw new RangeError(`not whole blocks of ${dtype}`)
  const bytes = new Uint8Array(storedBytes(dtype, values.length))
  encoders[dtype](values, bytes, new DataView(bytes.buffer))
  return bytes
}

type Encode = (values: Float32Array, bytes: Uint8Array, view: DataView) => void

const encoders: Readonly<Record<Dtype, Encode>> = {
  F32: (values, bytes) => bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  F16: (values, _bytes, view) => {
    for (let i = 0; i < values.length; i++) view.setUint16(2 * i, toHalf(at(values, i)), true)
  },
  BF16: encodeBrainFloats,
  Q8_0: encodeQ8_0,
  Q4_0: encodeQ4_0,
  Q4_1: encodeQ4_1,
  Q4_K: encodeQ4_K,
  Q6_K: encodeQ6_K,
}

/** Nearest, ties to even, as hardware rounds. */
function encodeBrainFloats(values: Float32Array, _bytes: Uint8Array, view: DataView): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i] ?? 0
    view.setUint16(2 * i, (word + 0x7fff + ((word >>> 16) & 1)) >>> 16, true)
  }
}

function encodeQ8_0(values: Float32Array, _bytes: Uint8Array, view: DataView): void {
  for (let start = 0, block = 0; start < values.length; start += 32, block += 34) {
    const d = largest(values, start, 32) / 127
    const inverse = d === 0 ? 0 : 1 / d
    view.setUint16(block, toHalf(d), true)
    for (let i = 0; i < 32; i++) view.setInt8(block + 2 + i, nearest(at(values, start + i) * inverse))
  }
}

function encodeQ4_0(values: Float32Array, bytes: Uint8Array, view: DataView): void {
  for (let start = 0, block = 0; start < values.length; start += 32, block += 18) {
    const d = extreme(values, start, 32) / -8
    const inverse = d === 0 ? 0 : 1 / d
    view.setUint16(block, toHalf(d), true)
    const level = (i: number) => Math.min(15, Math.trunc(at(values, start + i) * inverse + 8.5))
    for (let i = 0; i < 16; i++) bytes[block + 2 + i] = level(i) | (level(i + 16) << 4)
  }
}

function encodeQ4_1(values: Float32Array, bytes: Uint8Array, view: DataView): void {
  for (let start = 0, block = 0; start < values.length; start += 32, block += 20) {
    const [least, most] = range(values, start, 32)
    const d = (most - least) / 15
    const inverse = d === 0 ? 0 : 1 / d
    view.setUint16(block, toHalf(d), true)
    view.setUint16(block + 2, toHalf(least), true)
    const level = (i: number) => Math.min(15, Math.trunc((at(values, start + i) - least) * inverse + 0.5))
    for (let i = 0; i < 16; i++) bytes[block + 4 + i] = level(i) | (level(i + 16) << 4)
  }
}

function encodeQ4_K(values: Float32Array, bytes: Uint8Array, view: DataView): void {
  for (let start = 0, block = 0; start < values.length; start += 256, block += 144) {
    const ranges = Array.from({ length: 8 }, (_, group) => range(values, start + 32 * group, 32))
    const minima = ranges.map(([least]) => Math.max(0, -least))
    const scales = ranges.map(([, most], group) => Math.max(0, most + (minima[group] ?? 0)) / 15)
    const d = roundToHalf(Math.max(...scales) / 63)
    const m = roundToHalf(Math.max(...minima) / 63)
    view.setUint16(block, toHalf(d), true)
    view.setUint16(block + 2, toHalf(m), true)
    for (let group = 0; group < 8; group++) {
      const scale = level(scales[group] ?? 0, d, 0, 63)
      const minimum = level(minima[group] ?? 0, m, 0, 63)
      putSixBits(bytes, block + 4, group, scale, minimum)
      for (let i = 0; i < 32; i++) {
        const q = level(at(values, start + 32 * group + i) + m * minimum, d * scale, 0, 15)
        const place = block + 16 + 32 * (group >> 1) + i
        bytes[place] = (bytes[place] ?? 0) | (q << (4 * (group & 1)))
      }
    }
  }
}

/** Eight pairs of six bits in twelve bytes. */
function putSixBits(bytes: Uint8Array, start: number, group: number, scale: number, minimum: number): void {
  const or = (index: number, bits: number) => {
    bytes[start + index] = (bytes[start + index] ?? 0) | bits
  }
  if (group < 4) {
    or(group, scale)
    or(group + 4, minimum)
  } else {
    or(group + 4, (scale & 15) | ((minimum & 15) << 4))
    or(group - 4, (scale >> 4) << 6)
    or(group, (minimum >> 4) << 6)
  }
}

function encodeQ6_K(values: Float32Array, bytes: Uint8Array, view: DataView): void {
  for (let start = 0, block = 0; start < values.length; start += 256, block += 210) {
    const scales = Array.from({ length: 16 }, (_, group) => extreme(values, start + 16 * group, 16) / -32)
    const d = roundToHalf(Math.max(...scales.map(Math.abs)) / 127)
    view.setUint16(block + 208, toHalf(d), true)
    for (let group = 0; group < 16; group++) {
      const scale = level(scales[group] ?? 0, d, -127, 127)
      view.setInt8(block + 192 + group, scale)
      for (let i = 16 * group; i < 16 * group + 16; i++) {
        putQ6(bytes, block, i, level(at(values, start + i), d * scale, -32, 31) + 32)
      }
    }
  }
}

/** Weight i of a block: four bits among the nibbles, two among the bit pairs. */
function putQ6(bytes: Uint8Array, block: number, i: number, q: number): void {
  const [half, run, column] = [i >> 7, (i >> 5) & 3, i & 31]
  const low = block + 64 * half + 32 * (run & 1) + column
  const high = block + 128 + 32 * half + column
  bytes[low] = (bytes[low] ?? 0) | ((q & 15) << (run < 2 ? 0 : 4))
  bytes[high] = (bytes[high] ?? 0) | ((q >> 4) << (2 * run))
}

function level(value: number, step: number, least: number, most: number): number {
  return step === 0 ? Math.max(0, least) : Math.min(most, Math.max(least, nearest(value / step)))
}

/** Halves away from zero, as C's `roundf`. */
function nearest(value: number): number {
  return value < 0 ? -Math.round(-value) : Math.round(value)
}

function at(values: Float32Array, index: number): number {
  return values[index] ?? 0
}

function range(values: Float32Array, start: number, length: number): [least: number, most: number] {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (let i = start; i < start + length; i++) {
    least = Math.min(least, at(values, i))
    most = Math.max(most, at(values, i))
  }
  return [least, most]
}

function largest(values: Float32Array, start: number, length: number): number {
  return Math.abs(extreme(values, start, length))
}

/** The value farthest from zero, with its sign. */
function extreme(values: Float32Array, start: number, length: number): number {
  let found = 0
  for (let i = start; i < start + length; i++) if (Math.abs(at(values, i)) > Math.abs(found)) found = at(values, i)
  return found
}

const word = new DataView(new ArrayBuffer(4))

/** Bits of the nearest half, ties to even. */
export function toHalf(value: number): number {
  word.setFloat32(0, value)
  const sign = (word.getUint32(0) >>> 16) & 0x8000
  const size = Math.abs(value)
  if (Number.isNaN(size)) return 0x7e00
  if (size >= 65_520) return sign | 0x7c00
  // Adding a number this large leaves no room for bits below a half's last one: the adder rounds for us.
  const exponent = Math.max(-14, ((word.getUint32(0) >>> 23) & 0xff) - 127)
  const steps = size / 2 ** (exponent - 10) + 2 ** 52 - 2 ** 52
  return sign | (steps + ((exponent + 14) << 10))
}

function roundToHalf(value: number): number {
  const bits = toHalf(value)
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  return exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15)
}
