/** What depends on where tokens stand and on nothing else: angles of rotation, and who may look at whom. */
import { Tensor } from 'onnxruntime-node'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { rotaryFrequencies } from '#core/numerics/rope.ts'
import type { Feeds } from './program.ts'

/** Added to scores that must not count; their exponential is exactly 0. */
const hidden = -1e30

/** `cos` and `sin` (tokens, headSize / 2), `mask` (group * tokens, past + tokens), for tokens at [past, past + tokens). */
export function positionFeeds(config: ModelConfig, past: number, tokens: number): Feeds {
  const frequencies = rotaryFrequencies(config)
  const angle = (i: number) =>
    (past + Math.floor(i / frequencies.length)) * (frequencies[i % frequencies.length] as number)
  const table = (wave: (angle: number) => number) =>
    new Tensor(
      'float32',
      Float32Array.from({ length: tokens * frequencies.length }, (_, i) => wave(angle(i))),
      [tokens, frequencies.length],
    )
  return { cos: table(Math.cos), sin: table(Math.sin), mask: attentionMask(config, past, tokens) }
}

/**
 * A token sees itself and what came before, as far back as the sliding window reaches; the same for each of the query heads
 * that share keys, whose rows follow each other.
 */
function attentionMask(config: ModelConfig, past: number, tokens: number): Tensor {
  const { slidingWindow = Number.POSITIVE_INFINITY, headCount, kvHeadCount } = config
  const rows = (headCount / kvHeadCount) * tokens
  const positions = past + tokens
  const mask = new Float32Array(rows * positions).fill(hidden)
  for (let row = 0; row < rows; row++) {
    const last = past + (row % tokens)
    mask.fill(0, row * positions + Math.max(0, last - slidingWindow + 1), row * positions + last + 1)
  }
  return new Tensor('float32', mask, [rows, positions])
}

/** The last few answers, since batches of one length follow each other. */
export function createPositionCache(config: ModelConfig): (past: number, tokens: number) => Feeds {
  const remembered = new Map<string, Feeds>()
  return (past, tokens) => {
    const key = `${past}:${tokens}`
    const feeds = remembered.get(key) ?? positionFeeds(config, past, tokens)
    remembered.delete(key)
    remembered.set(key, feeds)
    for (const oldest of remembered.keys()) if (remembered.size > 4) remembered.delete(oldest)
    return feeds
  }
}
