/** Numbers as files store them: halves, and GGUF's blocks of 32, which become groups of 32 without any number changing. */

/** IEEE 754 binary16, little-endian, to float32, exactly. `halves`, `out`: (count,) */
export function halvesToFloats(halves: usize, out: usize, count: usize): void {
  const end = out + (count << 2)
  const vectorEnd = out + ((count & ~3) << 2)
  while (out < vectorEnd) {
    v128.store(out, floatsOf(v128.load16x4_u(halves)))
    halves += 8
    out += 16
  }
  while (out < end) {
    store<f32>(out, floatOf(load<u16>(halves)))
    halves += 2
    out += 4
  }
}

/** Q8_0: a half, then 32 signed bytes. `blocks` blocks -> `codes`: (blocks, 32), zero at 128; `scales`: (blocks,) */
export function relayQ80(source: usize, codes: usize, scales: usize, blocks: usize): void {
  const signs = i8x16.splat(-128)
  for (const end = scales + (blocks << 2); scales < end; scales += 4) {
    store<f32>(scales, floatOf(load<u16>(source)))
    v128.store(codes, v128.xor(v128.load(source, 2), signs))
    v128.store(codes, v128.xor(v128.load(source, 18), signs), 16)
    source += 34
    codes += 32
  }
}

/**
 * Q4_0: a half, then 16 bytes with elements 0 to 15 in the low halves and 16 to 31 in the high ones. `blocks` blocks ->
 * `codes`: (blocks, 16), neighbours in one byte; `scales`: (blocks,)
 */
export function relayQ40(source: usize, codes: usize, scales: usize, blocks: usize): void {
  for (const end = scales + (blocks << 2); scales < end; scales += 4) {
    store<f32>(scales, floatOf(load<u16>(source)))
    const bytes = v128.load(source, 2)
    v128.store(codes, i8x16.narrow_i16x8_u(paired(v128.and(bytes, i8x16.splat(15))), paired(i8x16.shr_u(bytes, 4))))
    source += 18
    codes += 16
  }
}

/** Sixteen half bytes to eight bytes, each in a lane of two: the even one in the low half. */
function paired(halfBytes: v128): v128 {
  return v128.and(v128.or(halfBytes, i16x8.shr_u(halfBytes, 4)), i16x8.splat(255))
}

/**
 * Four halves in lanes of 32 bits. Exponent and fraction move to their places in a float32, whose exponent then is 112 too
 * small: a product with 2¹¹² sets that right, for subnormal halves too. Infinities and NaN have their exponent filled up.
 */
function floatsOf(bits: v128): v128 {
  const magnitude = i32x4.shl(v128.and(bits, i32x4.splat(0x7fff)), 13)
  const sign = i32x4.shl(v128.and(bits, i32x4.splat(0x8000)), 16)
  const finite = f32x4.mul(magnitude, f32x4.splat(reinterpret<f32>(0x77800000)))
  const special = v128.and(i32x4.ge_u(magnitude, i32x4.splat(0x0f800000)), i32x4.splat(0x7f800000))
  return v128.or(v128.or(finite, special), sign)
}

function floatOf(bits: u32): f32 {
  return f32x4.extract_lane(floatsOf(i32x4.splat(bits)), 0)
}
