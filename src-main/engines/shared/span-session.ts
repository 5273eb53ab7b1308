/**
 * A sequence's way through some blocks, the same for every backend. Its length moves only when all blocks have run, and
 * caches ignore what lies beyond the position they are given: a failed or aborted call is undone by forgetting it.
 */
import type { Span } from '#contracts/span.ts'
import { ContextTooLongError } from '#core/errors.ts'
import type { SpanSession } from '#core/ports/engine.ts'
import type { BlockCache, LoadedBlock } from './loaded-block.ts'
import { EngineMisuseError } from './misuse.ts'
import { countRows } from './rows.ts'

/**
 * Longer inputs run in pieces of this many tokens: full prefill speed was reached at 128 to 256 rows, and a piece bounds
 * scratch memory, the time until an abort is seen and (for backends on the main thread) the event loop's pause.
 */
export const tokensPerRun = 128

export interface SpanSessionInit {
  readonly span: Span
  readonly maxLength: number
  readonly hiddenSize: number
  readonly blocks: readonly LoadedBlock[]
  /** Called once, when the session is disposed and no call is under way. */
  readonly onDispose: () => void
}

/** A session that its runner can wait for. */
export interface TrackedSession extends SpanSession {
  /** Resolves when no call is under way. */
  idle(): Promise<void>
}

export function createSpanSession(init: SpanSessionInit): TrackedSession {
  const { span, maxLength, hiddenSize } = init
  let caches: readonly BlockCache[] = init.blocks.map((block) => block.createCache(maxLength))
  let length = 0
  let disposed = false
  let running: Promise<Float32Array> | null = null

  function checkUsable(): void {
    if (disposed) throw new EngineMisuseError('the session is disposed')
  }
  function checkIdle(): void {
    checkUsable()
    if (running) throw new EngineMisuseError('calls on one session must not overlap')
  }

  async function idle(): Promise<void> {
    await running?.catch(() => {})
  }

  async function runBlocks(hidden: Float32Array, position: number, signal: AbortSignal | undefined) {
    let x = hidden
    for (const cache of caches) {
      signal?.throwIfAborted()
      x = await cache.forward(x, position)
      checkUsable()
    }
    return x
  }

  async function runPieces(hidden: Float32Array, signal: AbortSignal | undefined): Promise<Float32Array> {
    const pieceSize = tokensPerRun * hiddenSize
    if (hidden.length <= pieceSize) return runBlocks(hidden, length, signal)
    const output = new Float32Array(hidden.length)
    for (let start = 0; start < hidden.length; start += pieceSize) {
      const piece = hidden.subarray(start, start + pieceSize)
      output.set(await runBlocks(piece, length + start / hiddenSize, signal), start)
    }
    return output
  }

  return {
    span,
    maxLength,
    get length() {
      return length
    },
    get cacheBytes() {
      return caches.reduce((sum, cache) => sum + cache.bytes, 0)
    },
    async forward(hidden, { signal } = {}) {
      checkIdle()
      const tokens = countRows(hidden, hiddenSize)
      if (length + tokens > maxLength) throw new ContextTooLongError(length + tokens, maxLength)
      try {
        running = runPieces(hidden, signal)
        const output = await running
        length += tokens
        return output
      } finally {
        running = null
      }
    },
    truncate(to) {
      checkIdle()
      if (!Number.isInteger(to) || to < 0 || to > length) throw new RangeError(`truncate ${length} positions to ${to}`)
      length = to
    },
    dispose() {
      if (disposed) return
      disposed = true
      caches = []
      void idle().then(init.onDispose)
    },
    idle,
  }
}
