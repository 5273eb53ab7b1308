/** IEEE 754 binary16 as it is stored: 1 sign, 5 exponent (bias 15), 10 fraction bits. */

let halves: Float32Array | undefined

/** All 65,536 halves as float32 (256 KiB, made once): a look-up is several times faster than taking bits apart. */
export function halfTable(): Float32Array {
  halves ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => halfToNumber(bits))
  return halves
}

function halfToNumber(bits: number): number {
  const sign = bits >>> 15 ? -1 : 1
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
