/**
 * dx += Wᵀ dy for one row, straight from a quantised W (layout: `dequantise.ts`). Four rows of W at a time, so that dx is
 * read and written once for the four; the codes' zero is subtracted once a group, as a multiple of the four factors' sum.
 */
import { numbers0, numbers1, numbers2, numbers3, unpackedHalfBytes } from './codes'
import { multiplyAdd } from './lanes'

/** `dy`: (rows,); `dx`: (groups * group,), which is what W's columns are filled up to. */
export function transposedProduct(
  bits: usize,
  codes: usize,
  scales: usize,
  dy: usize,
  dx: usize,
  rows: usize,
  groups: usize,
  group: usize,
): void {
  const rowBytes = (groups * group * bits) >> 3
  const scaleBytes = groups << 2
  for (let row: usize = 0; row < rows; row += 4) {
    // Behind the last row its codes again, with factors of 0.
    const left = rows - row
    const codes1 = left > 1 ? codes + rowBytes : codes
    const codes2 = left > 2 ? codes1 + rowBytes : codes
    const codes3 = left > 3 ? codes2 + rowBytes : codes
    const scales1 = left > 1 ? scales + scaleBytes : scales
    const scales2 = left > 2 ? scales1 + scaleBytes : scales
    const scales3 = left > 3 ? scales2 + scaleBytes : scales
    const y0 = load<f32>(dy)
    const y1: f32 = left > 1 ? load<f32>(dy, 4) : 0
    const y2: f32 = left > 2 ? load<f32>(dy, 8) : 0
    const y3: f32 = left > 3 ? load<f32>(dy, 12) : 0
    for (let g: usize = 0; g < groups; g++) {
      const at = (g * group * bits) >> 3
      const scaleAt = g << 2
      const f0 = y0 * load<f32>(scales + scaleAt)
      const f1 = y1 * load<f32>(scales1 + scaleAt)
      const f2 = y2 * load<f32>(scales2 + scaleAt)
      const f3 = y3 * load<f32>(scales3 + scaleAt)
      const target = dx + ((g * group) << 2)
      if (bits === 8) addGroup8(codes + at, codes1 + at, codes2 + at, codes3 + at, f0, f1, f2, f3, target, group)
      else addGroup4(codes + at, codes1 + at, codes2 + at, codes3 + at, f0, f1, f2, f3, target, group)
    }
    codes += rowBytes << 2
    scales += scaleBytes << 2
    dy += 16
  }
}

function addGroup8(
  a: usize,
  b: usize,
  c: usize,
  d: usize,
  fa: f32,
  fb: f32,
  fc: f32,
  fd: f32,
  dx: usize,
  group: usize,
): void {
  const offset = f32x4.splat(-128 * (fa + fb + fc + fd))
  const va = f32x4.splat(fa)
  const vb = f32x4.splat(fb)
  const vc = f32x4.splat(fc)
  const vd = f32x4.splat(fd)
  for (let i: usize = 0; i < group; i += 16) {
    addSixteen(v128.load(a + i), v128.load(b + i), v128.load(c + i), v128.load(d + i), va, vb, vc, vd, offset, dx)
    dx += 64
  }
}

function addGroup4(
  a: usize,
  b: usize,
  c: usize,
  d: usize,
  fa: f32,
  fb: f32,
  fc: f32,
  fd: f32,
  dx: usize,
  group: usize,
): void {
  const offset = f32x4.splat(-8 * (fa + fb + fc + fd))
  const va = f32x4.splat(fa)
  const vb = f32x4.splat(fb)
  const vc = f32x4.splat(fc)
  const vd = f32x4.splat(fd)
  for (let i: usize = 0; i < group >> 1; i += 8) {
    const ca = unpackedHalfBytes(a + i)
    const cb = unpackedHalfBytes(b + i)
    const cc = unpackedHalfBytes(c + i)
    const cd = unpackedHalfBytes(d + i)
    addSixteen(ca, cb, cc, cd, va, vb, vc, vd, offset, dx)
    dx += 64
  }
}

/** dx[0..16) += offset + Σ factor · codes, over four rows' codes. */
function addSixteen(
  a: v128,
  b: v128,
  c: v128,
  d: v128,
  fa: v128,
  fb: v128,
  fc: v128,
  fd: v128,
  offset: v128,
  dx: usize,
): void {
  let s0 = f32x4.add(v128.load(dx), offset)
  let s1 = f32x4.add(v128.load(dx, 16), offset)
  let s2 = f32x4.add(v128.load(dx, 32), offset)
  let s3 = f32x4.add(v128.load(dx, 48), offset)
  s0 = multiplyAdd(numbers0(a), fa, s0)
  s1 = multiplyAdd(numbers1(a), fa, s1)
  s2 = multiplyAdd(numbers2(a), fa, s2)
  s3 = multiplyAdd(numbers3(a), fa, s3)
  s0 = multiplyAdd(numbers0(b), fb, s0)
  s1 = multiplyAdd(numbers1(b), fb, s1)
  s2 = multiplyAdd(numbers2(b), fb, s2)
  s3 = multiplyAdd(numbers3(b), fb, s3)
  s0 = multiplyAdd(numbers0(c), fc, s0)
  s1 = multiplyAdd(numbers1(c), fc, s1)
  s2 = multiplyAdd(numbers2(c), fc, s2)
  s3 = multiplyAdd(numbers3(c), fc, s3)
  s0 = multiplyAdd(numbers0(d), fd, s0)
  s1 = multiplyAdd(numbers1(d), fd, s1)
  s2 = multiplyAdd(numbers2(d), fd, s2)
  s3 = multiplyAdd(numbers3(d), fd, s3)
  v128.store(dx, s0)
  v128.store(dx, s1, 16)
  v128.store(dx, s2, 32)
  v128.store(dx, s3, 48)
}
