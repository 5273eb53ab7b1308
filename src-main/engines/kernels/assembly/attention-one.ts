/** Attention of one query: a line of keys times the query, softmax along that line, and the values summed by it. */
import { pageSlots } from './cache'
import { exponential, multiplyAdd, sumLanes } from './lanes'

/** Instead of -∞, as in `attention.ts`. */
const hidden: f32 = -1e30

/** `query`, `output`: (headSize,). Attends to the positions [from, to]. `scratch`: (pageSlots,) */
export function attendOne(
  query: usize,
  output: usize,
  from: usize,
  to: usize,
  pageTable: usize,
  kvHead: usize,
  kvHeads: usize,
  headSize: usize,
  scratch: usize,
): void {
  const partBytes = (pageSlots * headSize) << 2
  let largest: f32 = hidden
  let sum: f32 = 0
  memory.fill(output, 0, headSize << 2)
  for (let page = from / pageSlots; page <= to / pageSlots; page++) {
    const start = page * pageSlots
    const firstSlot = from > start ? from - start : 0
    const slots = min(pageSlots, to + 1 - start) - firstSlot
    const part = <usize>load<u32>(pageTable + (page << 2)) + kvHead * partBytes + ((firstSlot * headSize) << 2)
    const before = largest
    largest = max(largest, scoresOfOne(query, part, scratch, headSize, slots))
    const scale = f32x4.extract_lane(exponential(f32x4.splat(before - largest)), 0)
    sum = sum * scale + weighOne(scratch, slots, largest)
    outputOfOne(scratch, part + kvHeads * partBytes, output, scale, headSize, slots)
  }
  divide(output, sum, headSize)
}

/** scores = K q / √headSize, filled up to whole fours with hidden ones; gives the largest. */
function scoresOfOne(query: usize, keys: usize, scores: usize, headSize: usize, slots: usize): f32 {
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>headSize)
  let largest: f32 = hidden
  for (let slot: usize = 0; slot < slots; slot++) {
    const score = dot(query, keys, headSize) * scale
    store<f32>(scores + (slot << 2), score)
    largest = max(largest, score)
    keys += headSize << 2
  }
  for (let slot = slots; slot < ((slots + 3) & ~3); slot++) store<f32>(scores + (slot << 2), hidden)
  return largest
}

function dot(a: usize, b: usize, size: usize): f32 {
  let s0 = f32x4.splat(0)
  let s1 = f32x4.splat(0)
  let s2 = f32x4.splat(0)
  let s3 = f32x4.splat(0)
  const end = a + (size << 2)
  const wideEnd = a + ((size & ~15) << 2)
  while (a < wideEnd) {
    s0 = multiplyAdd(v128.load(a), v128.load(b), s0)
    s1 = multiplyAdd(v128.load(a, 16), v128.load(b, 16), s1)
    s2 = multiplyAdd(v128.load(a, 32), v128.load(b, 32), s2)
    s3 = multiplyAdd(v128.load(a, 48), v128.load(b, 48), s3)
    a += 64
    b += 64
  }
  let sum = sumLanes(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)))
  while (a < end) {
    sum += load<f32>(a) * load<f32>(b)
    a += 4
    b += 4
  }
  return sum
}

/** Scores to weights; gives their sum. */
function weighOne(scores: usize, slots: usize, largest: f32): f32 {
  const end = scores + (slots << 2)
  let sum = f32x4.splat(0)
  for (let at = scores; at < end; at += 16) {
    const weight = exponential(f32x4.sub(v128.load(at), f32x4.splat(largest)))
    v128.store(at, weight)
    sum = f32x4.add(sum, weight)
  }
  return sumLanes(sum)
}

/** output = scale output + weights V */
function outputOfOne(weights: usize, values: usize, output: usize, scale: f32, headSize: usize, slots: usize): void {
  const stride = headSize << 2
  const scales = f32x4.splat(scale)
  const end = weights + (slots << 2)
  let d: usize = 0
  for (; d + 64 <= stride; d += 64) {
    let a = f32x4.mul(scales, v128.load(output + d))
    let b = f32x4.mul(scales, v128.load(output + d, 16))
    let c = f32x4.mul(scales, v128.load(output + d, 32))
    let e = f32x4.mul(scales, v128.load(output + d, 48))
    let value = values + d
    for (let at = weights; at < end; at += 4) {
      const w = v128.load32_splat(at)
      a = multiplyAdd(w, v128.load(value), a)
      b = multiplyAdd(w, v128.load(value, 16), b)
      c = multiplyAdd(w, v128.load(value, 32), c)
      e = multiplyAdd(w, v128.load(value, 48), e)
      value += stride
    }
    v128.store(output + d, a)
    v128.store(output + d, b, 16)
    v128.store(output + d, c, 32)
    v128.store(output + d, e, 48)
  }
  for (; d < stride; d += 4) {
    let sum = scale * load<f32>(output + d)
    let value = values + d
    for (let at = weights; at < end; at += 4) {
      sum += load<f32>(at) * load<f32>(value)
      value += stride
    }
    store<f32>(output + d, sum)
  }
}

function divide(output: usize, divisor: f32, size: usize): void {
  const scale: f32 = <f32>1 / divisor
  for (let i: usize = 0; i < size; i++) store<f32>(output + (i << 2), load<f32>(output + (i << 2)) * scale)
}
