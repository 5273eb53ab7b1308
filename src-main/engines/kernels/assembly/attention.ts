/**
 * Causal attention of consecutive rows of one sequence over its cached positions (Vaswani et al. 2017, eq. 1), with
 * query heads sharing keys and values in groups (Ainslie et al. 2023). A softmax over pages is kept running: the largest
 * score and the sum so far, what was summed before being scaled whenever a larger score turns up (Milakov & Gimelshein
 * 2018; Dao et al. 2022).
 *
 * All queries that read the same key head, (row, head of the group), stand in one line, and eight (or four) of them make
 * a tile, one in each lane: a key's element is read once for the eight, and softmax needs no sums across lanes.
 */

import { attendOne } from './attention-one'
import { outputOfTile4, scoresOfTile4, scoresOfTile8 } from './attention-tiles'
import { pageSlots } from './cache'
import { exponential, larger, multiplyAdd } from './lanes'

/** Instead of -∞, whose difference with itself is not a number. */
const hidden: f32 = -1e30

/** The widest tile. */
const tile: usize = 8

/** Bytes of the scratch that `attention` wants. */
export function attentionScratchBytes(headSize: usize): usize {
  return (2 * tile * headSize + tile * pageSlots + 6 * tile) << 2
}

/**
 * `queries`, `output`: (rows, stride) each with its stride, rows beginning with (kvHeads * group, headSize). The first
 * row stands at `position`. A row at p attends to the positions [max(0, p - window + 1), p]; a window of 0 is none.
 */
export function attention(
  queries: usize,
  queryStride: usize,
  output: usize,
  outputStride: usize,
  rows: usize,
  position: usize,
  pageTable: usize,
  kvHeads: usize,
  group: usize,
  headSize: usize,
  window: usize,
  scratch: usize,
): void {
  const count = rows * group
  const groupBytes = (group * headSize) << 2
  for (let kvHead: usize = 0; kvHead < kvHeads; kvHead++) {
    for (let first: usize = 0; first < count; ) {
      const left = count - first
      const width: usize = left > 4 ? 8 : left > 1 ? 4 : 1
      const lanes = min(width, left)
      if (width === 1) {
        const row = first / group
        const head = ((first % group) * headSize) << 2
        const p = position + row
        attendOne(
          queries + kvHead * groupBytes + ((row * queryStride) << 2) + head,
          output + kvHead * groupBytes + ((row * outputStride) << 2) + head,
          windowStart(p, window),
          p,
          pageTable,
          kvHead,
          kvHeads,
          headSize,
          scratch,
        )
      } else {
        packTile(
          queries + kvHead * groupBytes,
          queryStride,
          first,
          lanes,
          width,
          group,
          headSize,
          position,
          window,
          scratch,
        )
        const from = windowStart(position + first / group, window)
        const to = position + (first + lanes - 1) / group
        attendTile(from, to, pageTable, kvHead, kvHeads, headSize, width, scratch)
        unpackTile(output + kvHead * groupBytes, outputStride, first, lanes, width, group, headSize, scratch)
      }
      first += lanes
    }
  }
}

function windowStart(position: usize, window: usize): usize {
  return window === 0 || position < window ? 0 : position - window + 1
}

// A tile's scratch, each a line of `tile` lanes: first and last visible position, largest score, sum, scale of what was
// summed before; then scores (pageSlots, width), queries (headSize, width), sums of values (width, headSize).
const firstOffset: usize = 0
const lastOffset: usize = 4 * tile
const largestOffset: usize = 8 * tile
const sumOffset: usize = 12 * tile
const scaleOffset: usize = 16 * tile
const scoresOffset: usize = 24 * tile
const queriesOffset: usize = scoresOffset + 4 * tile * pageSlots

/** Fills a tile's scratch with `lanes` queries, turned so that a lane is a query, and 1 / √headSize multiplied in. */
function packTile(
  queries: usize,
  queryStride: usize,
  first: usize,
  lanes: usize,
  width: usize,
  group: usize,
  headSize: usize,
  position: usize,
  window: usize,
  scratch: usize,
): void {
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>headSize)
  const packed = scratch + queriesOffset
  const widthBytes = width << 2
  memory.fill(packed, 0, (2 * width * headSize) << 2)
  for (let lane: usize = 0; lane < width; lane++) {
    const at = scratch + (lane << 2)
    const query = first + min(lane, lanes - 1)
    const row = query / group
    const p = position + row
    store<u32>(at, <u32>windowStart(p, window), firstOffset)
    store<u32>(at, <u32>p, lastOffset)
    store<f32>(at, hidden, largestOffset)
    store<f32>(at, 0, sumOffset)
    const source = queries + ((row * queryStride + (query % group) * headSize) << 2)
    for (let d: usize = 0; d < headSize; d++) {
      store<f32>(packed + d * widthBytes + (lane << 2), load<f32>(source + (d << 2)) * scale)
    }
  }
}

/** Runs a tile over the pages that hold positions [from, to]. */
function attendTile(
  from: usize,
  to: usize,
  pageTable: usize,
  kvHead: usize,
  kvHeads: usize,
  headSize: usize,
  width: usize,
  scratch: usize,
): void {
  const partBytes = (pageSlots * headSize) << 2
  const scores = scratch + scoresOffset
  const packed = scratch + queriesOffset
  const sums = packed + ((width * headSize) << 2)
  for (let page = from / pageSlots; page <= to / pageSlots; page++) {
    const start = page * pageSlots
    const slots = min(pageSlots, to + 1 - start)
    const keys = <usize>load<u32>(pageTable + (page << 2)) + kvHead * partBytes
    const values = keys + kvHeads * partBytes
    if (width === 8) scoresOfTile8(packed, keys, scores, headSize, slots)
    else scoresOfTile4(packed, keys, scores, headSize, slots)
    for (let lane: usize = 0; lane < width; lane += 4) {
      const at = scratch + (lane << 2)
      const line = scores + (lane << 2)
      hideOutside(line, at, start, slots, width)
      weigh(line, at, slots, width)
      outputOfTile4(line, values, sums + ((lane * headSize) << 2), at + scaleOffset, headSize, slots, width)
    }
  }
}

/** Hides the scores of positions that a lane does not see. */
function hideOutside(scores: usize, at: usize, start: usize, slots: usize, width: usize): void {
  const first = v128.load(at, firstOffset)
  const last = v128.load(at, lastOffset)
  const end = i32x4.splat(<i32>(start + slots - 1))
  const all = v128.and(i32x4.le_s(first, i32x4.splat(<i32>start)), i32x4.ge_s(last, end))
  if (i32x4.all_true(all)) return
  let position = i32x4.splat(<i32>start)
  for (let slot: usize = 0; slot < slots; slot++) {
    const seen = v128.and(i32x4.ge_s(position, first), i32x4.le_s(position, last))
    v128.store(scores, v128.bitselect(v128.load(scores), f32x4.splat(hidden), seen))
    position = i32x4.add(position, i32x4.splat(1))
    scores += width << 2
  }
}

/** Scores of a page to weights e^(score - largest), and the running largest, sum and scale with them. */
function weigh(scores: usize, at: usize, slots: usize, width: usize): void {
  const widthBytes = width << 2
  const before = v128.load(at, largestOffset)
  const end = scores + slots * widthBytes
  let largest = before
  for (let score = scores; score < end; score += widthBytes) largest = larger(largest, v128.load(score))
  let sum = f32x4.splat(0)
  for (let score = scores; score < end; score += widthBytes) {
    const weight = exponential(f32x4.sub(v128.load(score), largest))
    v128.store(score, weight)
    sum = f32x4.add(sum, weight)
  }
  const scale = exponential(f32x4.sub(before, largest))
  v128.store(at, largest, largestOffset)
  v128.store(at, scale, scaleOffset)
  v128.store(at, multiplyAdd(v128.load(at, sumOffset), scale, sum), sumOffset)
}

/** Sums of values, divided by the sum of weights, to the output's rows. */
function unpackTile(
  output: usize,
  outputStride: usize,
  first: usize,
  lanes: usize,
  width: usize,
  group: usize,
  headSize: usize,
  scratch: usize,
): void {
  let source = scratch + queriesOffset + ((width * headSize) << 2)
  for (let lane: usize = 0; lane < lanes; lane++) {
    const scale: f32 = <f32>1 / load<f32>(scratch + (lane << 2), sumOffset)
    const query = first + lane
    const target = output + (((query / group) * outputStride + (query % group) * headSize) << 2)
    for (let d: usize = 0; d < headSize; d++) {
      store<f32>(target + (d << 2), load<f32>(source + (d << 2)) * scale)
    }
    source += headSize << 2
  }
}
