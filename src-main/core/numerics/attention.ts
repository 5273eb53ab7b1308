/**
 * Causal self-attention over a cache, with `headCount / kvHeadCount` query heads sharing each key-value head
 * (Vaswani et al. 2017, eq. 1; Ainslie et al. 2023, GQA).
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { at, dot } from './floats.ts'
import type { KeyValueCache } from './key-value-cache.ts'
import { softmax } from './softmax.ts'

export type HeadShape = Pick<ModelConfig, 'headCount' | 'kvHeadCount' | 'headSize'>

/**
 * softmax(q kᵀ / √headSize) v. `queries`: (tokens, heads, headSize) are the last positions of the cache, which already
 * holds their own keys and values; each sees itself and what came before. -> (tokens, heads, headSize)
 */
export function attention(queries: Float64Array, cache: KeyValueCache, shape: HeadShape): Float64Array {
  const { headCount, kvHeadCount, headSize } = shape
  const tokens = queries.length / (headCount * headSize)
  const output = new Float64Array(queries.length)
  for (let t = 0; t < tokens; t++) {
    const visible = cache.length - tokens + t + 1
    for (let head = 0; head < headCount; head++) {
      const kvHead = Math.floor((head * kvHeadCount) / headCount)
      attendOne({ queries, output, start: (t * headCount + head) * headSize }, cache, { visible, kvHead, shape })
    }
  }
  return output
}

/** One head of one token: `queries` and `output` from `start` on. */
function attendOne(
  { queries, output, start }: { queries: Float64Array; output: Float64Array; start: number },
  { keys, values }: KeyValueCache,
  { visible, kvHead, shape }: { visible: number; kvHead: number; shape: HeadShape },
): void {
  const { headSize, kvHeadCount } = shape
  const rowOf = (position: number) => (position * kvHeadCount + kvHead) * headSize
  const scores = new Float64Array(visible)
  for (let p = 0; p < visible; p++) scores[p] = dot(queries, start, keys, rowOf(p), headSize) / Math.sqrt(headSize)
  for (const [p, weight] of softmax(scores).entries()) {
    for (let i = 0; i < headSize; i++) output[start + i] = at(output, start + i) + weight * at(values, rowOf(p) + i)
  }
}
