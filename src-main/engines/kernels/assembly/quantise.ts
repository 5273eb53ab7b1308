/** Numbers to integers by groups, rounded to nearest (ties to even). Layout: `dequantise.ts`. */
import { larger } from './lanes'

/** Below it a reciprocal is infinite. Such a group is as good as zero. */
const smallest: f32 = 1.2e-38

/** `values`: (rows, columns) -> `codes`, `scales`; `scratch`: (group,) */
export function quantise(
  bits: usize,
  values: usize,
  codes: usize,
  scales: usize,
  rows: usize,
  columns: usize,
  group: usize,
  scratch: usize,
): void {
  const groupBytes = (group * bits) >> 3
  for (let row: usize = 0; row < rows; row++) {
    for (let start: usize = 0; start < columns; start += group) {
      const count = min(group, columns - start)
      let source = values
      if (count !== group) {
        memory.fill(scratch, 0, group << 2)
        memory.copy(scratch, values, count << 2)
        source = scratch
      }
      store<f32>(scales, bits === 8 ? encode8(source, codes, group) : encode4(source, codes, group))
      values += count << 2
      codes += groupBytes
      scales += 4
    }
  }
}

/** Codes of a group; gives its scale: the largest magnitude becomes 127. */
function encode8(values: usize, codes: usize, group: usize): f32 {
  const scale: f32 = max(largestOf(values, group, 1), largestOf(values, group, -1)) / 127
  const inverse = f32x4.splat(inverseOf(scale))
  const zero = i16x8.splat(128)
  for (const end = codes + group; codes < end; codes += 16) {
    const low = i16x8.narrow_i32x4_s(steps(values, inverse), steps(values + 16, inverse))
    const high = i16x8.narrow_i32x4_s(steps(values + 32, inverse), steps(values + 48, inverse))
    v128.store(codes, i8x16.narrow_i16x8_u(i16x8.add(low, zero), i16x8.add(high, zero)))
    values += 64
  }
  return scale
}

/**
 * As `encode8`. The number of the largest magnitude becomes -8, the code that has no positive twin, or, when the group as a
 * whole errs less by it, a little more or less than that.
 */
function encode4(values: usize, codes: usize, group: usize): f32 {
  const most = largestOf(values, group, 1)
  const least = largestOf(values, group, -1)
  const widest: f32 = (most > least ? most : -least) / -8
  let scale = better(values, group, widest, widest * <f32>0.94)
  scale = better(values, group, scale, widest * <f32>0.88)
  scale = better(values, group, scale, widest * <f32>0.82)
  scale = better(values, group, scale, widest * <f32>1.06)
  scale = better(values, group, scale, widest * <f32>1.14)
  const inverse = f32x4.splat(inverseOf(scale))
  const zero = i16x8.splat(8)
  for (const end = codes + (group >> 1); codes < end; codes += 8) {
    const low = i16x8.narrow_i32x4_s(clampedSteps(values, inverse), clampedSteps(values + 16, inverse))
    const high = i16x8.narrow_i32x4_s(clampedSteps(values + 32, inverse), clampedSteps(values + 48, inverse))
    const bytes = i8x16.narrow_i16x8_u(i16x8.add(low, zero), i16x8.add(high, zero))
    // Neighbouring bytes to one: the even one stays, the odd one goes to its high half.
    const even = v128.and(bytes, i16x8.splat(15))
    const odd = v128.and(i16x8.shr_u(bytes, 4), i16x8.splat(0xf0))
    const pairs = v128.or(even, odd)
    v128.store64_lane(codes, i8x16.narrow_i16x8_u(pairs, pairs), 0)
    values += 64
  }
  return scale
}

/** Whichever scale errs less; the first when they are equal. */
function better(values: usize, group: usize, first: f32, second: f32): f32 {
  return squaredError4(values, group, second) < squaredError4(values, group, first) ? second : first
}

function squaredError4(values: usize, group: usize, scale: f32): f32 {
  const inverse = f32x4.splat(inverseOf(scale))
  const scales = f32x4.splat(scale)
  let sum = f32x4.splat(0)
  for (const end = values + (group << 2); values < end; values += 16) {
    const error = f32x4.sub(f32x4.mul(clamped(values, inverse), scales), v128.load(values))
    sum = f32x4.add(sum, f32x4.mul(error, error))
  }
  return (
    f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1) + f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3)
  )
}

function inverseOf(scale: f32): f32 {
  return abs<f32>(scale) < smallest ? 0 : <f32>1 / scale
}

/** Four numbers in steps of the scale, rounded. */
function steps(values: usize, inverse: v128): v128 {
  return i32x4.relaxed_trunc_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(values), inverse)))
}

function clampedSteps(values: usize, inverse: v128): v128 {
  return i32x4.relaxed_trunc_f32x4_s(clamped(values, inverse))
}

function clamped(values: usize, inverse: v128): v128 {
  const rounded = f32x4.nearest(f32x4.mul(v128.load(values), inverse))
  return f32x4.pmax(f32x4.splat(-8), f32x4.pmin(f32x4.splat(7), rounded))
}

/** The largest of the numbers times `sign`, at least 0. */
function largestOf(values: usize, group: usize, sign: f32): f32 {
  const signs = f32x4.splat(sign)
  let most = f32x4.splat(0)
  for (const end = values + (group << 2); values < end; values += 16) {
    most = larger(most, f32x4.mul(v128.load(values), signs))
  }
  return max(
    max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1)),
    max(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3)),
  )
}
