/**
 * Reverse mode of `attention`. With weights w = softmax(s), scores sₚ = q·kₚ / √d and output o = Σₚ wₚ vₚ:
 *   dvₚ = wₚ do,   dwₚ = do·vₚ,   dsₚ = wₚ (dwₚ - Σⱼ wⱼ dwⱼ),   dq = Σₚ dsₚ kₚ / √d,   dkₚ = dsₚ q / √d.
 */
import { type HeadShape, visiblePositions } from './attention.ts'
import { at, dot, type Floats } from './floats.ts'
import type { KeyValueCache } from './key-value-cache.ts'
import { softmax } from './softmax.ts'

export interface AttentionGradients {
  readonly queries: Float64Array // (tokens, heads, headSize)
  readonly keys: Float64Array // (cache.length, kvHeads, headSize)
  readonly values: Float64Array // (cache.length, kvHeads, headSize)
}

/** `queries` and `cache` as `attention` had them; `outputGradient`: (tokens, heads, headSize) */
export function attentionBackward(
  outputGradient: Floats,
  queries: Float64Array,
  cache: KeyValueCache,
  shape: HeadShape,
): AttentionGradients {
  const { headCount, kvHeadCount, headSize } = shape
  const tokens = queries.length / (headCount * headSize)
  const cached = cache.length * kvHeadCount * headSize
  const gradients = {
    queries: new Float64Array(queries.length),
    keys: new Float64Array(cached),
    values: new Float64Array(cached),
  }
  for (let t = 0; t < tokens; t++) {
    const { begin, end } = visiblePositions(cache.length - tokens + t, shape)
    for (let head = 0; head < headCount; head++) {
      const kvHead = Math.floor((head * kvHeadCount) / headCount)
      const rows = Array.from({ length: end - begin }, (_, s) => ((begin + s) * kvHeadCount + kvHead) * headSize)
      const start = (t * headCount + head) * headSize
      attendOneBackward({ queries, outputGradient, start }, cache, gradients, { rows, headSize })
    }
  }
  return gradients
}

/** One head of one token; `rows` are where its visible keys and values start. */
function attendOneBackward(
  { queries, outputGradient, start }: { queries: Floats; outputGradient: Floats; start: number },
  { keys, values }: KeyValueCache,
  gradients: AttentionGradients,
  { rows, headSize }: { rows: readonly number[]; headSize: number },
): void {
  const root = Math.sqrt(headSize)
  const weights = softmax(Float64Array.from(rows, (row) => dot(queries, start, keys, row, headSize) / root))
  const weightGradients = Float64Array.from(rows, (row) => dot(outputGradient, start, values, row, headSize))
  const mean = dot(weights, 0, weightGradients, 0, rows.length) // Σⱼ wⱼ dwⱼ
  for (const [p, row] of rows.entries()) {
    const score = (at(weights, p) * (at(weightGradients, p) - mean)) / root // dsₚ / √d
    for (let i = 0; i < headSize; i++) {
      addAt(gradients.values, row + i, at(weights, p) * at(outputGradient, start + i))
      addAt(gradients.queries, start + i, score * at(keys, row + i))
      addAt(gradients.keys, row + i, score * at(queries, start + i))
    }
  }
}

function addAt(sum: Float64Array, index: number, value: number): void {
  sum[index] = at(sum, index) + value
}
