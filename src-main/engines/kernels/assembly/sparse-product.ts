/**
 * y += Δ x for a sparse Δ, in the form that `sparse-delta.ts` packs: rows of about equal length go by eights, and step s of
 * such a bundle is the s-th entry of each of its rows. So eight sums run side by side in lanes, every loop over a bundle is
 * as long as the one before it (a branch that is never mispredicted), and the entries are read once, in order.
 */
import { multiplyAdd } from './lanes'

/** Four numbers of `x` at the columns that stand at `columns`. */
function gathered(x: usize, columns: usize): v128 {
  let values = v128.load32_zero(x + ((<usize>load<u16>(columns)) << 2))
  values = v128.load32_lane(x + ((<usize>load<u16>(columns, 2)) << 2), values, 1)
  values = v128.load32_lane(x + ((<usize>load<u16>(columns, 4)) << 2), values, 2)
  return v128.load32_lane(x + ((<usize>load<u16>(columns, 6)) << 2), values, 3)
}

function addAt(y: usize, row: usize, value: f32): void {
  addTo(y + ((<usize>load<u32>(row)) << 2), value)
}

/**
 * For one row: `x`: (in,), `y`: (out,). `steps`: (bundles,) u32, `rows`: (bundles, 8) u32; `columns` u16 and `values`, one
 * bundle after the other, each (steps, 8).
 */
export function sparseProduct(
  steps: usize,
  rows: usize,
  columns: usize,
  values: usize,
  bundles: usize,
  x: usize,
  y: usize,
): void {
  for (let bundle: usize = 0; bundle < bundles; bundle++) {
    let low = f32x4.splat(0)
    let high = f32x4.splat(0)
    const end = values + ((<usize>load<u32>(steps + (bundle << 2))) << 5)
    while (values < end) {
      low = multiplyAdd(gathered(x, columns), v128.load(values), low)
      high = multiplyAdd(gathered(x, columns + 8), v128.load(values, 16), high)
      columns += 16
      values += 32
    }
    addAt(y, rows, f32x4.extract_lane(low, 0))
    addAt(y, rows + 4, f32x4.extract_lane(low, 1))
    addAt(y, rows + 8, f32x4.extract_lane(low, 2))
    addAt(y, rows + 12, f32x4.extract_lane(low, 3))
    addAt(y, rows + 16, f32x4.extract_lane(high, 0))
    addAt(y, rows + 20, f32x4.extract_lane(high, 1))
    addAt(y, rows + 24, f32x4.extract_lane(high, 2))
    addAt(y, rows + 28, f32x4.extract_lane(high, 3))
    rows += 32
  }
}

/** Tokens of a tile. */
const tile: usize = 8

/**
 * For `count` rows, at most eight. `turned`: (in, 8), the rows in lanes, as `turnRows` leaves them; `y`: (count, yStride).
 * An entry is read once for all of them.
 */
export function sparseProductOfTile(
  steps: usize,
  rows: usize,
  columns: usize,
  values: usize,
  bundles: usize,
  turned: usize,
  y: usize,
  yStride: usize,
  count: usize,
): void {
  const rowsEnd = rows + (bundles << 5)
  while (rows < rowsEnd) {
    const bundleSteps = <usize>load<u32>(steps)
    for (let lane: usize = 0; lane < 8; lane++) {
      let low = f32x4.splat(0)
      let high = f32x4.splat(0)
      let column = columns + (lane << 1)
      let value = values + (lane << 2)
      const end = value + (bundleSteps << 5)
      while (value < end) {
        const x = turned + ((<usize>load<u16>(column)) << 5)
        const entry = v128.load32_splat(value)
        low = multiplyAdd(entry, v128.load(x), low)
        high = multiplyAdd(entry, v128.load(x, 16), high)
        column += 16
        value += 32
      }
      addLanes(y + ((<usize>load<u32>(rows)) << 2), yStride << 2, low, high, count)
      rows += 4
    }
    steps += 4
    columns += bundleSteps << 4
    values += bundleSteps << 5
  }
}

/** Adds the first `count` of eight lanes, each a stride further. */
function addLanes(place: usize, stride: usize, low: v128, high: v128, count: usize): void {
  addTo(place, f32x4.extract_lane(low, 0))
  if (count > 1) addTo(place + stride, f32x4.extract_lane(low, 1))
  if (count > 2) addTo(place + 2 * stride, f32x4.extract_lane(low, 2))
  if (count > 3) addTo(place + 3 * stride, f32x4.extract_lane(low, 3))
  if (count <= 4) return
  addTo(place + 4 * stride, f32x4.extract_lane(high, 0))
  if (count > 5) addTo(place + 5 * stride, f32x4.extract_lane(high, 1))
  if (count > 6) addTo(place + 6 * stride, f32x4.extract_lane(high, 2))
  if (count > 7) addTo(place + 7 * stride, f32x4.extract_lane(high, 3))
}

function addTo(place: usize, value: f32): void {
  store<f32>(place, load<f32>(place) + value)
}

/** `x`: `count` rows, at most eight, (count, xStride), of `size` elements -> `turned`: (size, 8); lanes behind `count` are 0. */
export function turnRows(x: usize, xStride: usize, count: usize, size: usize, turned: usize): void {
  const stride = xStride << 2
  if (count < tile) memory.fill(turned, 0, (size * tile) << 2)
  for (let row: usize = 0; row < count; row++) {
    let source = x + row * stride
    let target = turned + (row << 2)
    const end = source + (size << 2)
    while (source < end) {
      store<f32>(target, load<f32>(source))
      source += 4
      target += 32
    }
  }
}
