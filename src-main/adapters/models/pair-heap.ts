/** Candidates for a merge, best first: the highest score, and of equal scores the leftmost. A binary heap. */

export interface PairCandidate {
  /** Position of the left token. */
  readonly left: number
  /** The token that the pair would become. */
  readonly merged: number
  readonly score: number
}

export interface PairHeap {
  push(candidate: PairCandidate): void
  pop(): PairCandidate | null
}

export function createPairHeap(): PairHeap {
  const items: PairCandidate[] = []
  return {
    push(candidate) {
      items.push(candidate)
      siftUp(items, candidate)
    },
    pop() {
      const best = items[0]
      const last = items.pop()
      if (best === undefined || last === undefined) return null
      if (items.length > 0) siftDown(items, last)
      return best
    },
  }
}

function comesBefore(a: PairCandidate, b: PairCandidate): boolean {
  return a.score > b.score || (a.score === b.score && a.left < b.left)
}

/** Moves `candidate` from the last place up to where it belongs. */
function siftUp(items: PairCandidate[], candidate: PairCandidate): void {
  let index = items.length - 1
  while (index > 0) {
    const parentIndex = (index - 1) >> 1
    const parent = items[parentIndex]
    if (parent === undefined || !comesBefore(candidate, parent)) break
    items[index] = parent
    index = parentIndex
  }
  items[index] = candidate
}

/** Moves `candidate` from the first place, whose item is gone, down to where it belongs. */
function siftDown(items: PairCandidate[], candidate: PairCandidate): void {
  let index = 0
  for (;;) {
    const childIndex = betterChild(items, index)
    const child = items[childIndex]
    if (child === undefined || !comesBefore(child, candidate)) break
    items[index] = child
    index = childIndex
  }
  items[index] = candidate
}

function betterChild(items: readonly PairCandidate[], index: number): number {
  const left = items[2 * index + 1]
  const right = items[2 * index + 2]
  return left !== undefined && right !== undefined && comesBefore(right, left) ? 2 * index + 2 : 2 * index + 1
}
