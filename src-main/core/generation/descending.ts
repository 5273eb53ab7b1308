/**
 * A vector's indices from the largest value down, produced one at a time by a binary heap: finding the first `k` of `n`
 * costs O(n + k log n), so a sampler that keeps a few tokens never sorts the whole vocabulary.
 */

export interface DescendingOrder {
  /** Begins with `values`, which must hold no NaN and stay unchanged while indices are drawn. O(n). */
  start(values: Float32Array): void
  /** The index of the next largest value (of equals the lowest index), or -1 when all were given. */
  next(): number
}

export function createDescendingOrder(): DescendingOrder {
  let values: Float32Array = new Float32Array(0)
  let heap = new Int32Array(0)
  let size = 0

  const at = (slot: number) => heap[slot] ?? 0
  const comesFirst = (a: number, b: number) => {
    const x = values[a] ?? 0
    const y = values[b] ?? 0
    return x > y || (x === y && a < b)
  }

  function sink(from: number): void {
    const moving = at(from)
    let slot = from
    for (let child = 2 * slot + 1; child < size; child = 2 * slot + 1) {
      if (child + 1 < size && comesFirst(at(child + 1), at(child))) child += 1
      if (comesFirst(moving, at(child))) break
      heap[slot] = at(child)
      slot = child
    }
    heap[slot] = moving
  }

  return {
    start(next) {
      values = next
      size = next.length
      if (heap.length !== size) heap = new Int32Array(size)
      for (let i = 0; i < size; i++) heap[i] = i
      for (let i = (size >> 1) - 1; i >= 0; i--) sink(i)
    },
    next() {
      if (size === 0) return -1
      const first = at(0)
      size -= 1
      heap[0] = at(size)
      sink(0)
      return first
    },
  }
}
