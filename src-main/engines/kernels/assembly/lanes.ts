/**
 * Small things every kernel is made of: four float32 at once. Whatever stands in this file is compiled into the place it
 * is called from (see `compile.ts`).
 */

/** a b + c, rounded once where the processor can and twice where it cannot. */
export function multiplyAdd(a: v128, b: v128, c: v128): v128 {
  return f32x4.relaxed_madd(a, b, c)
}

/** The same number four times, from memory. */
export function splatAt(pointer: usize, offset: usize): v128 {
  return v128.load32_splat(pointer + offset)
}

/** a₀ + a₁ + a₂ + a₃ */
export function sumLanes(a: v128): f32 {
  const pairs = f32x4.add(a, i8x16.shuffle(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7))
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1)
}

/** The larger of two numbers; of a number and NaN the first. One instruction, which `f32x4.max` is not. */
export function larger(a: v128, b: v128): v128 {
  return f32x4.pmax(a, b)
}

/**
 * eˣ to a relative error below 2e-7, for x in [-87, 88]; x is held to that range. With n = round(x / ln 2) and
 * r = x - n ln 2, eˣ = 2ⁿ eʳ, and eʳ is a polynomial (Cephes, `expf`). ln 2 comes in two parts, so that n ln 2 is exact.
 */
export function exponential(x: v128): v128 {
  const held = f32x4.pmin(f32x4.splat(88), f32x4.pmax(f32x4.splat(-87), x))
  // Adding 1.5 * 2²³ rounds to an integer and leaves it in the low bits.
  const magic = f32x4.splat(12582912)
  const shifted = multiplyAdd(held, f32x4.splat(Mathf.LOG2E), magic)
  const n = f32x4.sub(shifted, magic)
  const r = multiplyAdd(n, f32x4.splat(2.1219444e-4), multiplyAdd(n, f32x4.splat(-0.693359375), held))
  let p = multiplyAdd(f32x4.splat(1.98756915e-4), r, f32x4.splat(1.3981999507e-3))
  p = multiplyAdd(p, r, f32x4.splat(8.3334519073e-3))
  p = multiplyAdd(p, r, f32x4.splat(4.1665795894e-2))
  p = multiplyAdd(p, r, f32x4.splat(1.6666665459e-1))
  p = multiplyAdd(p, r, f32x4.splat(5.0000001201e-1))
  p = f32x4.add(multiplyAdd(p, f32x4.mul(r, r), r), f32x4.splat(1))
  return i32x4.add(p, i32x4.shl(shifted, 23))
}
