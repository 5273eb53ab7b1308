/**
 * The two products of attention for a tile of queries and one page. A tile's queries stand in lanes: `packed` is
 * (headSize, width), scores are (slots, width). Keys and values are (slots, headSize). Eight running sums at a time are
 * what it takes to keep two multiply-add units with a latency of four busy.
 */
import { multiplyAdd, splatAt } from './lanes'

/** scores = K q for eight queries. Keys go by fours: up to three scores after the last slot are written and mean nothing. */
export function scoresOfTile8(packed: usize, keys: usize, scores: usize, headSize: usize, slots: usize): void {
  const stride = headSize << 2
  for (let slot: usize = 0; slot < slots; slot += 4) {
    let a0 = f32x4.splat(0)
    let a1 = f32x4.splat(0)
    let b0 = f32x4.splat(0)
    let b1 = f32x4.splat(0)
    let c0 = f32x4.splat(0)
    let c1 = f32x4.splat(0)
    let d0 = f32x4.splat(0)
    let d1 = f32x4.splat(0)
    let keyA = keys
    let keyB = keyA + stride
    let keyC = keyB + stride
    let keyD = keyC + stride
    let query = packed
    const end = packed + (headSize << 5)
    while (query < end) {
      const q0 = v128.load(query)
      const q1 = v128.load(query, 16)
      let key = v128.load32_splat(keyA)
      a0 = multiplyAdd(key, q0, a0)
      a1 = multiplyAdd(key, q1, a1)
      key = v128.load32_splat(keyB)
      b0 = multiplyAdd(key, q0, b0)
      b1 = multiplyAdd(key, q1, b1)
      key = v128.load32_splat(keyC)
      c0 = multiplyAdd(key, q0, c0)
      c1 = multiplyAdd(key, q1, c1)
      key = v128.load32_splat(keyD)
      d0 = multiplyAdd(key, q0, d0)
      d1 = multiplyAdd(key, q1, d1)
      keyA += 4
      keyB += 4
      keyC += 4
      keyD += 4
      query += 32
    }
    v128.store(scores, a0)
    v128.store(scores, a1, 16)
    v128.store(scores, b0, 32)
    v128.store(scores, b1, 48)
    v128.store(scores, c0, 64)
    v128.store(scores, c1, 80)
    v128.store(scores, d0, 96)
    v128.store(scores, d1, 112)
    keys += stride << 2
    scores += 128
  }
}

/** As `scoresOfTile8`, for four queries. */
export function scoresOfTile4(packed: usize, keys: usize, scores: usize, headSize: usize, slots: usize): void {
  const stride = headSize << 2
  for (let slot: usize = 0; slot < slots; slot += 4) {
    let a = f32x4.splat(0)
    let b = f32x4.splat(0)
    let c = f32x4.splat(0)
    let d = f32x4.splat(0)
    let keyA = keys
    let keyB = keyA + stride
    let keyC = keyB + stride
    let keyD = keyC + stride
    let query = packed
    const end = packed + (headSize << 4)
    while (query < end) {
      const q = v128.load(query)
      a = multiplyAdd(v128.load32_splat(keyA), q, a)
      b = multiplyAdd(v128.load32_splat(keyB), q, b)
      c = multiplyAdd(v128.load32_splat(keyC), q, c)
      d = multiplyAdd(v128.load32_splat(keyD), q, d)
      keyA += 4
      keyB += 4
      keyC += 4
      keyD += 4
      query += 16
    }
    v128.store(scores, a)
    v128.store(scores, b, 16)
    v128.store(scores, c, 32)
    v128.store(scores, d, 48)
    keys += stride << 2
    scores += 64
  }
}

/**
 * sums = scale sums + weightsᵀ V for four queries, whose weights are the first four of each line of `weights`: (slots,
 * width); `sums`: (4, headSize), `scale`: (4,)
 */
export function outputOfTile4(
  weights: usize,
  values: usize,
  sums: usize,
  scale: usize,
  headSize: usize,
  slots: usize,
  width: usize,
): void {
  const stride = headSize << 2
  const sums1 = sums + stride
  const sums2 = sums1 + stride
  const sums3 = sums2 + stride
  const s0 = splatAt(scale, 0)
  const s1 = splatAt(scale, 4)
  const s2 = splatAt(scale, 8)
  const s3 = splatAt(scale, 12)
  const widthBytes = width << 2
  const end = weights + slots * widthBytes
  let d: usize = 0
  for (; d + 32 <= stride; d += 32) {
    let a0 = f32x4.mul(s0, v128.load(sums + d))
    let a1 = f32x4.mul(s0, v128.load(sums + d, 16))
    let b0 = f32x4.mul(s1, v128.load(sums1 + d))
    let b1 = f32x4.mul(s1, v128.load(sums1 + d, 16))
    let c0 = f32x4.mul(s2, v128.load(sums2 + d))
    let c1 = f32x4.mul(s2, v128.load(sums2 + d, 16))
    let d0 = f32x4.mul(s3, v128.load(sums3 + d))
    let d1 = f32x4.mul(s3, v128.load(sums3 + d, 16))
    let value = values + d
    for (let weight = weights; weight < end; weight += widthBytes) {
      const v0 = v128.load(value)
      const v1 = v128.load(value, 16)
      let w = v128.load32_splat(weight)
      a0 = multiplyAdd(w, v0, a0)
      a1 = multiplyAdd(w, v1, a1)
      w = v128.load32_splat(weight, 4)
      b0 = multiplyAdd(w, v0, b0)
      b1 = multiplyAdd(w, v1, b1)
      w = v128.load32_splat(weight, 8)
      c0 = multiplyAdd(w, v0, c0)
      c1 = multiplyAdd(w, v1, c1)
      w = v128.load32_splat(weight, 12)
      d0 = multiplyAdd(w, v0, d0)
      d1 = multiplyAdd(w, v1, d1)
      value += stride
    }
    v128.store(sums + d, a0)
    v128.store(sums + d, a1, 16)
    v128.store(sums1 + d, b0)
    v128.store(sums1 + d, b1, 16)
    v128.store(sums2 + d, c0)
    v128.store(sums2 + d, c1, 16)
    v128.store(sums3 + d, d0)
    v128.store(sums3 + d, d1, 16)
  }
  for (; d < stride; d += 4) {
    // One element of all four queries: their weights are a vector already.
    let sum = f32x4.mul(
      v128.load(scale),
      f32x4(load<f32>(sums + d), load<f32>(sums1 + d), load<f32>(sums2 + d), load<f32>(sums3 + d)),
    )
    let value = values + d
    for (let weight = weights; weight < end; weight += widthBytes) {
      sum = multiplyAdd(v128.load(weight), v128.load32_splat(value), sum)
      value += stride
    }
    store<f32>(sums + d, f32x4.extract_lane(sum, 0))
    store<f32>(sums1 + d, f32x4.extract_lane(sum, 1))
    store<f32>(sums2 + d, f32x4.extract_lane(sum, 2))
    store<f32>(sums3 + d, f32x4.extract_lane(sum, 3))
  }
}
