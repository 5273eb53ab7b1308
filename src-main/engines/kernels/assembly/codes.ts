/** Sixteen small integers to sixteen numbers. As `lanes.ts`, compiled into the place it is called from. */

/** Sixteen 4-bit codes, two a byte, the first in the low half, as bytes. */
export function unpackedHalfBytes(pointer: usize): v128 {
  const bytes = v128.load64_zero(pointer)
  const low = v128.and(bytes, i8x16.splat(15))
  const high = i8x16.shr_u(bytes, 4)
  return i8x16.shuffle(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
}

/** The n-th four of sixteen bytes as numbers. */
export function numbers0(codes: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(codes)))
}

export function numbers1(codes: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(i16x8.extend_low_i8x16_u(codes)))
}

export function numbers2(codes: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(i16x8.extend_high_i8x16_u(codes)))
}

export function numbers3(codes: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(i16x8.extend_high_i8x16_u(codes)))
}
