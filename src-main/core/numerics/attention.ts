/**
 * Causal self-attention over a cache, with `headCount / kvHeadCount` query heads sharing each key-value head
 * (Vaswani et al. 2017, eq. 1; Ainslie et al. 2023, GQA), over all that came before or a sliding window of it (Jiang et
 * al. 2023, Mistral 7B, §2).
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { at, dot } from './floats.ts'
import type { KeyValueCache } from './key-value-cache.ts'
import { softmax } from './softmax.ts'

export type HeadShape = Pick<ModelConfig, 'headCount' | 'kvHeadCount' | 'headSize' | 'slidingWindow'>

/**
 * softmax(q kᵀ / √headSize) v. `queries`: (tokens, heads, headSize) are the last positions of the cache, which already
 * holds their own keys and values; each sees what `visiblePositions` says. -> (tokens, heads, headSize)
 */
export function attention(queries: Float64Array, cache: KeyValueCache, shape: HeadShape): Float64Array {
  const { headCount, kvHeadCount, headSize } = shape
  const tokens = queries.length / (headCount * headSize)
  const output = new Float64Array(queries.length)
  for (let t = 0; t < tokens; t++) {
    const visible = visiblePositions(cache.length - tokens + t, shape)
    for (let head = 0; head < headCount; head++) {
      const kvHead = Math.floor((head * kvHeadCount) / headCount)
      attendOne({ queries, output, start: (t * headCount + head) * headSize }, cache, { visible, kvHead, shape })
    }
  }
  return output
}

export interface PositionRange {
  readonly begin: number
  readonly end: number
}

/** What `position` attends to: itself and what came before, or the `slidingWindow` last of these. */
export function visiblePositions(position: number, { slidingWindow }: Pick<HeadShape, 'slidingWindow'>): PositionRange {
  const end = position + 1
  return { begin: slidingWindow === undefined ? 0 : Math.max(0, end - slidingWindow), end }
}

/** One head of one token: `queries` and `output` from `start` on. */
function attendOne(
  { queries, output, start }: { queries: Float64Array; output: Float64Array; start: number },
  { keys, values }: KeyValueCache,
  { visible, kvHead, shape }: { visible: PositionRange; kvHead: number; shape: HeadShape },
): void {
  const { headSize, kvHeadCount } = shape
  const rowOf = (position: number) => (position * kvHeadCount + kvHead) * headSize
  const scores = new Float64Array(visible.end - visible.begin)
  for (let s = 0; s < scores.length; s++) {
    scores[s] = dot(queries, start, keys, rowOf(visible.begin + s), headSize) / Math.sqrt(headSize)
  }
  for (const [s, weight] of softmax(scores).entries()) {
    const row = rowOf(visible.begin + s)
    for (let i = 0; i < headSize; i++) output[start + i] = at(output, start + i) + weight * at(values, row + i)
  }
}
