/**
 * The hidden states a hop was given, kept so that another peer can be brought to the same point. They lie in chunks that
 * never move or change: each state is copied once, and replaying hands out views.
 */

export interface HiddenHistory {
  /** Positions kept. */
  readonly length: number
  /** Copies `hidden` (tokens, hiddenSize) to the end. */
  append(hidden: Float32Array): void
  /** A view of the states from `position` on, as far as they lie together: all of any one `append`, at least. */
  from(position: number): Float32Array
}

interface Chunk {
  /** Position of its first state. */
  readonly start: number
  readonly values: Float32Array
  /** Values in use. */
  used: number
}

export function createHiddenHistory(hiddenSize: number, chunkPositions = 128): HiddenHistory {
  const chunks: Chunk[] = []
  let length = 0

  function chunkFor(values: number): Chunk {
    const last = chunks.at(-1)
    if (last && last.values.length - last.used >= values) return last
    const size = Math.max(chunkPositions * hiddenSize, values)
    const chunk: Chunk = { start: length, values: new Float32Array(size), used: 0 }
    chunks.push(chunk)
    return chunk
  }

  return {
    get length() {
      return length
    },
    append(hidden) {
      const chunk = chunkFor(hidden.length)
      chunk.values.set(hidden, chunk.used)
      chunk.used += hidden.length
      length += hidden.length / hiddenSize
    },
    from(position) {
      const chunk = chunks.findLast(({ start }) => start <= position)
      if (!chunk || position >= length) throw new RangeError(`position ${position} of ${length}`)
      return chunk.values.subarray((position - chunk.start) * hiddenSize, chunk.used)
    },
  }
}
