/**
 * Integers with a scale for every group of a row's neighbours, in the layout of onnxruntime's MatMulNBits: codes (rows,
 * groups, group * bits / 8), 4-bit codes two a byte, the first in the low half; scales (rows, groups). A code c stands for
 * (c - 2^(bits - 1)) scale. A group is a multiple of 16; a row's last one is filled up.
 */
import { numbers0, numbers1, numbers2, numbers3, unpackedHalfBytes } from './codes'

/** -> `out`: (rows, columns); `scratch`: (group,) */
export function dequantise(
  bits: usize,
  codes: usize,
  scales: usize,
  out: usize,
  rows: usize,
  columns: usize,
  group: usize,
  scratch: usize,
): void {
  const groupBytes = (group * bits) >> 3
  for (let row: usize = 0; row < rows; row++) {
    for (let start: usize = 0; start < columns; start += group) {
      const count = min(group, columns - start)
      const target = count === group ? out : scratch
      if (bits === 8) decode8(codes, load<f32>(scales), target, group)
      else decode4(codes, load<f32>(scales), target, group)
      if (count !== group) memory.copy(out, scratch, count << 2)
      codes += groupBytes
      scales += 4
      out += count << 2
    }
  }
}

function decode8(codes: usize, scale: f32, out: usize, group: usize): void {
  const zero = f32x4.splat(128)
  const scales = f32x4.splat(scale)
  for (const end = codes + group; codes < end; codes += 16) {
    storeNumbers(v128.load(codes), zero, scales, out)
    out += 64
  }
}

function decode4(codes: usize, scale: f32, out: usize, group: usize): void {
  const zero = f32x4.splat(8)
  const scales = f32x4.splat(scale)
  for (const end = codes + (group >> 1); codes < end; codes += 8) {
    storeNumbers(unpackedHalfBytes(codes), zero, scales, out)
    out += 64
  }
}

function storeNumbers(codes: v128, zero: v128, scale: v128, out: usize): void {
  v128.store(out, f32x4.mul(f32x4.sub(numbers0(codes), zero), scale))
  v128.store(out, f32x4.mul(f32x4.sub(numbers1(codes), zero), scale), 16)
  v128.store(out, f32x4.mul(f32x4.sub(numbers2(codes), zero), scale), 32)
  v128.store(out, f32x4.mul(f32x4.sub(numbers3(codes), zero), scale), 48)
}
