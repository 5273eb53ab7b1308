/**
 * Sixteen-bit floating point by integer arithmetic alone, so that every machine rounds alike: to the nearest, ties to even.
 * bfloat16 is the upper half of a float32; binary16 has 5 exponent and 10 fraction bits (IEEE 754).
 */

const one = new Float32Array(1)
const oneBits = new Uint32Array(one.buffer)

/** The float32 as its 32 bits. */
export function bitsOfFloat(value: number): number {
  one[0] = value
  return oneBits[0] as number
}

export function floatOfBits(bits: number): number {
  oneBits[0] = bits
  return one[0] as number
}

/** Of a finite number; may round to infinity (0x7f80). */
export function toBrainFloat(value: number): number {
  const bits = bitsOfFloat(value)
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
}

export function fromBrainFloat(half: number): number {
  return floatOfBits(half << 16)
}

/** Of a finite number; may round to infinity (0x7c00). */
export function toHalfFloat(value: number): number {
  const bits = bitsOfFloat(value)
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude < 0x38800000) return sign | subnormalHalf(magnitude)
  if (magnitude >= 0x47800000) return sign | 0x7c00
  const rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)
  return sign | (rounded >>> 13)
}

/** Below 2^-14 binary16 counts in steps of 2^-24: adding 1/2 in float32 shifts a value there and rounds it to even. */
function subnormalHalf(magnitude: number): number {
  return bitsOfFloat(floatOfBits(magnitude) + 0.5) - 0x3f000000
}

export function fromHalfFloat(half: number): number {
  const sign = (half & 0x8000) << 16
  const exponent = (half >>> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0) return (half & 0x8000 ? -1 : 1) * fraction * 2 ** -24
  if (exponent === 0x1f) return floatOfBits(sign | 0x7f800000 | (fraction << 13))
  return floatOfBits(sign | ((exponent + 112) << 23) | (fraction << 13))
}
