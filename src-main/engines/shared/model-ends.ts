/** The client's parts, the same for every backend but for the head's kernel. */
import type { ModelEnds } from '#core/ports/engine.ts'
import type { EmbeddingTable } from './embedding-table.ts'
import { EngineMisuseError } from './misuse.ts'
import { countRows } from './rows.ts'

/** Final norm and head in memory. */
export interface LoadedHead {
  readonly weightBytes: number
  /** (tokens, hiddenSize) -> (tokens, vocabularySize) */
  forward(hidden: Float32Array): Promise<Float32Array>
  dispose(): Promise<void>
}

/** Owns the head: disposing frees it, after a call under way has ended. */
export function createModelEnds(embedding: EmbeddingTable, head: LoadedHead, hiddenSize: number): ModelEnds {
  const running = new Set<Promise<Float32Array>>()
  let disposal: Promise<void> | null = null

  function checkUsable(): void {
    if (disposal) throw new EngineMisuseError('the model ends are disposed')
  }
  async function disposeHead(): Promise<void> {
    await Promise.allSettled(running)
    await head.dispose()
  }

  return {
    weightBytes: embedding.weightBytes + head.weightBytes,
    embed(tokens) {
      checkUsable()
      return embedding.rows(tokens)
    },
    async logits(hidden, { signal } = {}) {
      checkUsable()
      signal?.throwIfAborted()
      countRows(hidden, hiddenSize)
      const run = head.forward(hidden)
      running.add(run)
      return run.finally(() => running.delete(run))
    },
    dispose() {
      disposal ??= disposeHead()
      return disposal
    },
  }
}
