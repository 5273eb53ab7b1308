/** Rotary positions (Su et al. 2021, RoFormer, eq. 34), from tables of cosines and sines. */
import { multiplyAdd } from './lanes'

/**
 * Turns heads in place. `x`: (rows, rowStride), rows beginning with (heads, headSize); `cosines`, `sines`: (positions,
 * headSize / 2); `positions`: (rows,) i32. Pairs are (i, i + headSize / 2).
 */
export function ropeHalf(
  x: usize,
  rowStride: usize,
  cosines: usize,
  sines: usize,
  positions: usize,
  rows: usize,
  heads: usize,
  headSize: usize,
): void {
  const half = headSize >> 1
  for (let row: usize = 0; row < rows; row++) {
    const table = (<usize>load<u32>(positions + (row << 2)) * half) << 2
    for (let head: usize = 0; head < heads; head++) {
      turnHalf(x + ((row * rowStride + head * headSize) << 2), cosines + table, sines + table, half)
    }
  }
}

/** As `ropeHalf`, with pairs (2i, 2i + 1). */
export function ropeInterleaved(
  x: usize,
  rowStride: usize,
  cosines: usize,
  sines: usize,
  positions: usize,
  rows: usize,
  heads: usize,
  headSize: usize,
): void {
  const half = headSize >> 1
  for (let row: usize = 0; row < rows; row++) {
    const table = (<usize>load<u32>(positions + (row << 2)) * half) << 2
    for (let head: usize = 0; head < heads; head++) {
      turnInterleaved(x + ((row * rowStride + head * headSize) << 2), cosines + table, sines + table, half)
    }
  }
}

function turnHalf(head: usize, cosines: usize, sines: usize, half: usize): void {
  const second = half << 2
  const vectorEnd = head + ((half & ~3) << 2)
  const end = head + (half << 2)
  while (head < vectorEnd) {
    const a = v128.load(head)
    const b = v128.load(head + second)
    const cos = v128.load(cosines)
    const sin = v128.load(sines)
    v128.store(head, multiplyAdd(a, cos, f32x4.neg(f32x4.mul(b, sin))))
    v128.store(head + second, multiplyAdd(a, sin, f32x4.mul(b, cos)))
    head += 16
    cosines += 16
    sines += 16
  }
  while (head < end) {
    turnPair(head, head + second, load<f32>(cosines), load<f32>(sines))
    head += 4
    cosines += 4
    sines += 4
  }
}

function turnInterleaved(head: usize, cosines: usize, sines: usize, half: usize): void {
  const vectorEnd = head + ((half & ~3) << 3)
  const end = head + (half << 3)
  while (head < vectorEnd) {
    const low = v128.load(head) // a₀ b₀ a₁ b₁
    const high = v128.load(head, 16) // a₂ b₂ a₃ b₃
    const a = i8x16.shuffle(low, high, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
    const b = i8x16.shuffle(low, high, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
    const cos = v128.load(cosines)
    const sin = v128.load(sines)
    const first = multiplyAdd(a, cos, f32x4.neg(f32x4.mul(b, sin)))
    const second = multiplyAdd(a, sin, f32x4.mul(b, cos))
    v128.store(head, i8x16.shuffle(first, second, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23))
    v128.store(head, i8x16.shuffle(first, second, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31), 16)
    head += 32
    cosines += 16
    sines += 16
  }
  while (head < end) {
    turnPair(head, head + 4, load<f32>(cosines), load<f32>(sines))
    head += 8
    cosines += 4
    sines += 4
  }
}

function turnPair(first: usize, second: usize, cos: f32, sin: f32): void {
  const a = load<f32>(first)
  const b = load<f32>(second)
  store<f32>(first, a * cos - b * sin)
  store<f32>(second, a * sin + b * cos)
}
