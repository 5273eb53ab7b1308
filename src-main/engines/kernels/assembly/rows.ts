/** Element by element: residual connections, biases, (IA)³ vectors. */

/** y += x; both (count,) */
export function addInPlace(y: usize, x: usize, count: usize): void {
  const end = y + (count << 2)
  const vectorEnd = y + ((count & ~3) << 2)
  while (y < vectorEnd) {
    v128.store(y, f32x4.add(v128.load(y), v128.load(x)))
    y += 16
    x += 16
  }
  while (y < end) {
    store<f32>(y, load<f32>(y) + load<f32>(x))
    y += 4
    x += 4
  }
}

/** Adds `vector`: (size,) to the first `size` elements of each row of `y`: (rows, rowStride) */
export function addRowVector(y: usize, rowStride: usize, vector: usize, rows: usize, size: usize): void {
  for (let row: usize = 0; row < rows; row++) addInPlace(y + ((row * rowStride) << 2), vector, size)
}

/** Multiplies the first `size` elements of each row of `y`: (rows, rowStride) by `vector`: (size,) */
export function multiplyRowVector(y: usize, rowStride: usize, vector: usize, rows: usize, size: usize): void {
  for (let row: usize = 0; row < rows; row++) multiplyRow(y + ((row * rowStride) << 2), vector, size)
}

function multiplyRow(y: usize, x: usize, count: usize): void {
  const end = y + (count << 2)
  const vectorEnd = y + ((count & ~3) << 2)
  while (y < vectorEnd) {
    v128.store(y, f32x4.mul(v128.load(y), v128.load(x)))
    y += 16
    x += 16
  }
  while (y < end) {
    store<f32>(y, load<f32>(y) * load<f32>(x))
    y += 4
    x += 4
  }
}
