import type { ModelConfig } from '#contracts/model/manifest.ts'
import { formatSpan, type Span, spanLength } from '#contracts/span.ts'
import type { LoadOptions } from '#core/ports/engine.ts'

/** One block in memory: the unit in which every backend loads, runs and frees. */
export interface LoadedBlock {
  readonly weightBytes: number
  /** An empty cache for one sequence of at most `maxLength` positions; memory is taken as positions come. */
  createCache(maxLength: number): BlockCache
  dispose(): Promise<void>
}

/** One sequence's keys and values in one block. Garbage collection frees it. */
export interface BlockCache {
  readonly bytes: number
  /**
   * Runs `hidden` (tokens, hiddenSize) at [position, position + tokens), writing over whatever the cache held there, and
   * gives other work a turn first. `position` is at most the end of what was written before.
   */
  forward(hidden: Float32Array, position: number): Promise<Float32Array>
}

export type LoadBlock = (index: number) => Promise<LoadedBlock>

/** Loads the blocks of `span` in order; when one fails or the signal fires, those loaded are freed again. */
export async function loadBlocks(
  { blockCount }: ModelConfig,
  span: Span,
  { signal, onProgress }: LoadOptions,
  loadBlock: LoadBlock,
): Promise<LoadedBlock[]> {
  if (span.end > blockCount) throw new RangeError(`blocks ${formatSpan(span)} of a model of ${blockCount}`)
  const blocks: LoadedBlock[] = []
  try {
    for (let index = span.start; index < span.end; index++) {
      signal?.throwIfAborted()
      blocks.push(await loadBlock(index))
      onProgress?.({ blocksLoaded: blocks.length, blocksTotal: spanLength(span) })
    }
    return blocks
  } catch (error) {
    await Promise.all(blocks.map((block) => block.dispose()))
    throw error
  }
}

/** Throws `RangeError` unless `threads` is a whole number from 1 on. */
export function checkThreads({ threads }: LoadOptions): void {
  if (!Number.isInteger(threads) || threads < 1) throw new RangeError(`${threads} threads`)
}
