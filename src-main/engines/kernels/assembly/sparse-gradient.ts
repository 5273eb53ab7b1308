/**
 * The gradient of some entries of a matrix, without the rest of it: g[e] += Σₜ dy[t, row(e)] x[t, column(e)]. With tokens
 * along rows, each entry is an inner product of two rows; a row of dy is read for four entries at once and stays in cache
 * for all of its matrix row's.
 */
import { multiplyAdd, sumLanes } from './lanes'

/**
 * `starts`: (rows + 1,) u32, where each row's entries begin; `columns`: (entries,) u32; `dy`: (rows, tokens), `x`: (columns,
 * tokens), tokens a multiple of 4; `gradient`: (entries,)
 */
export function sparseGradient(
  starts: usize,
  columns: usize,
  rows: usize,
  dy: usize,
  x: usize,
  tokens: usize,
  gradient: usize,
): void {
  const lineBytes = tokens << 2
  for (let row: usize = 0; row < rows; row++) {
    let entry = <usize>load<u32>(starts + (row << 2))
    const end = <usize>load<u32>(starts + (row << 2), 4)
    while (entry < end) {
      // Fewer than four are left: the last one again, its sum thrown away.
      const last = end - 1
      fourGradients(dy, x, lineBytes, columns, entry, last, gradient)
      entry += 4
    }
    dy += lineBytes
  }
}

function fourGradients(
  dy: usize,
  x: usize,
  lineBytes: usize,
  columns: usize,
  entry: usize,
  last: usize,
  gradient: usize,
): void {
  let x0 = x + columnAt(columns, entry) * lineBytes
  let x1 = x + columnAt(columns, min(entry + 1, last)) * lineBytes
  let x2 = x + columnAt(columns, min(entry + 2, last)) * lineBytes
  let x3 = x + columnAt(columns, min(entry + 3, last)) * lineBytes
  let s0 = f32x4.splat(0)
  let s1 = f32x4.splat(0)
  let s2 = f32x4.splat(0)
  let s3 = f32x4.splat(0)
  for (const end = dy + lineBytes; dy < end; dy += 16) {
    const factor = v128.load(dy)
    s0 = multiplyAdd(factor, v128.load(x0), s0)
    s1 = multiplyAdd(factor, v128.load(x1), s1)
    s2 = multiplyAdd(factor, v128.load(x2), s2)
    s3 = multiplyAdd(factor, v128.load(x3), s3)
    x0 += 16
    x1 += 16
    x2 += 16
    x3 += 16
  }
  addTo(gradient, entry, sumLanes(s0))
  if (entry + 1 <= last) addTo(gradient, entry + 1, sumLanes(s1))
  if (entry + 2 <= last) addTo(gradient, entry + 2, sumLanes(s2))
  if (entry + 3 <= last) addTo(gradient, entry + 3, sumLanes(s3))
}

function columnAt(columns: usize, entry: usize): usize {
  return <usize>load<u32>(columns + (entry << 2))
}

function addTo(gradient: usize, entry: usize, value: f32): void {
  const place = gradient + (entry << 2)
  store<f32>(place, load<f32>(place) + value)
}

/** `x`: (rows, stride), rows beginning with `size` elements -> `out`: (size, outStride); what lies behind `rows` is 0. */
export function transpose(x: usize, stride: usize, rows: usize, size: usize, out: usize, outStride: usize): void {
  const strideBytes = stride << 2
  const outBytes = outStride << 2
  const wholeRows = rows & ~3
  const wholeSize = size & ~3
  if (outStride > rows) {
    for (let i: usize = 0; i < size; i++) memory.fill(out + i * outBytes + (rows << 2), 0, (outStride - rows) << 2)
  }
  // A cache line of each row at a time, so that lines are read once and written while they are near.
  for (let line: usize = 0; line < wholeSize; line += 16) {
    const lineEnd = min(line + 16, wholeSize)
    for (let row: usize = 0; row < wholeRows; row += 4) {
      for (let i = line; i < lineEnd; i += 4) {
        turnFour(x + row * strideBytes + (i << 2), strideBytes, out + i * outBytes + (row << 2), outBytes)
      }
    }
  }
  for (let row: usize = 0; row < rows; row++) {
    for (let i = row < wholeRows ? wholeSize : 0; i < size; i++) {
      store<f32>(out + i * outBytes + (row << 2), load<f32>(x + row * strideBytes + (i << 2)))
    }
  }
}

function turnFour(x: usize, stride: usize, out: usize, outStride: usize): void {
  const a = v128.load(x)
  const b = v128.load(x + stride)
  const c = v128.load(x + 2 * stride)
  const d = v128.load(x + 3 * stride)
  const ab = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23)
  const cd = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23)
  const ab2 = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31)
  const cd2 = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31)
  v128.store(out, i8x16.shuffle(ab, cd, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23))
  v128.store(out + outStride, i8x16.shuffle(ab, cd, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
  v128.store(out + 2 * outStride, i8x16.shuffle(ab2, cd2, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23))
  v128.store(out + 3 * outStride, i8x16.shuffle(ab2, cd2, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
}
