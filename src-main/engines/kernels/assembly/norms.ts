/** Root mean square norms (Zhang & Sennrich 2019): of whole rows, and of the heads inside rows. */
import { multiplyAdd, sumLanes } from './lanes'

/** x / rms(x) ⊙ gain. `x`, `out`: (rows, size), which may be the same memory; `gain`: (size,) */
export function rmsNorm(x: usize, gain: usize, out: usize, rows: usize, size: usize, epsilon: f32): void {
  for (let row: usize = 0; row < rows; row++) {
    normRow(x, gain, out, size, epsilon)
    x += size << 2
    out += size << 2
  }
}

/** As `rmsNorm`, in place, of each head of `x`: (rows, rowStride), whose rows begin with (heads, headSize). */
export function headNorm(
  x: usize,
  rowStride: usize,
  gain: usize,
  rows: usize,
  heads: usize,
  headSize: usize,
  epsilon: f32,
): void {
  for (let row: usize = 0; row < rows; row++) {
    for (let head: usize = 0; head < heads; head++) {
      const place = x + ((row * rowStride + head * headSize) << 2)
      normRow(place, gain, place, headSize, epsilon)
    }
  }
}

function normRow(x: usize, gain: usize, out: usize, size: usize, epsilon: f32): void {
  const scale: f32 = <f32>1 / sqrt<f32>(sumOfSquares(x, size) / <f32>size + epsilon)
  const scales = f32x4.splat(scale)
  const end = x + (size << 2)
  const vectorEnd = x + ((size & ~3) << 2)
  while (x < vectorEnd) {
    v128.store(out, f32x4.mul(f32x4.mul(v128.load(x), scales), v128.load(gain)))
    x += 16
    gain += 16
    out += 16
  }
  while (x < end) {
    store<f32>(out, load<f32>(x) * scale * load<f32>(gain))
    x += 4
    gain += 4
    out += 4
  }
}

/** Σ xᵢ², in sixteen running sums. */
function sumOfSquares(x: usize, size: usize): f32 {
  let a = f32x4.splat(0)
  let b = f32x4.splat(0)
  let c = f32x4.splat(0)
  let d = f32x4.splat(0)
  const end = x + (size << 2)
  const wideEnd = x + ((size & ~15) << 2)
  while (x < wideEnd) {
    const x0 = v128.load(x)
    const x1 = v128.load(x, 16)
    const x2 = v128.load(x, 32)
    const x3 = v128.load(x, 48)
    a = multiplyAdd(x0, x0, a)
    b = multiplyAdd(x1, x1, b)
    c = multiplyAdd(x2, x2, c)
    d = multiplyAdd(x3, x3, d)
    x += 64
  }
  let sum = sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)))
  while (x < end) {
    const value = load<f32>(x)
    sum += value * value
    x += 4
  }
  return sum
}
