/**
 * Byte-pair encoding by scores (SentencePiece, Kudo and Richardson 2018): of all neighbours whose joined piece is in the
 * vocabulary the best-scored are merged, leftmost first, until there are none. A heap keeps the candidates: O(n log n).
 */
import { createPairHeap } from './pair-heap.ts'

export interface PairMerges {
  /** The token that two tokens side by side may become, or -1. */
  merge(left: number, right: number): number
  score(token: number): number
}

/**
 * Merges in place. `symbols[i]` is the token that begins at position i, `following[i]` and `preceding[i]` its neighbours
 * (a doubly linked list over positions); a merged-away position holds -1. A candidate whose tokens have changed since
 * it was pushed is stale and skipped.
 */
export function mergePairs(symbols: Int32Array, merges: PairMerges): number[] {
  const count = symbols.length
  const following = Int32Array.from(symbols, (_, i) => (i + 1 < count ? i + 1 : -1))
  const preceding = Int32Array.from(symbols, (_, i) => i - 1)
  const at = (list: Int32Array, i: number) => list[i] ?? -1
  const heap = createPairHeap()
  const offer = (left: number) => {
    const right = left < 0 ? -1 : at(following, left)
    if (right < 0) return
    const merged = merges.merge(at(symbols, left), at(symbols, right))
    if (merged >= 0) heap.push({ left, merged, score: merges.score(merged) })
  }
  for (let i = 0; i + 1 < count; i++) offer(i)
  for (let best = heap.pop(); best !== null; best = heap.pop()) {
    const { left, merged } = best
    const right = at(following, left)
    if (at(symbols, left) < 0 || right < 0) continue
    if (merges.merge(at(symbols, left), at(symbols, right)) !== merged) continue
    const after = at(following, right)
    symbols[left] = merged
    symbols[right] = -1
    following[left] = after
    if (after >= 0) preceding[after] = left
    offer(at(preceding, left))
    offer(left)
  }
  return Array.from(symbols).filter((token) => token >= 0)
}

/** Looks pairs up in a vocabulary, and remembers each it was asked about: texts repeat themselves. */
export function createPairLookup(
  pieces: readonly string[],
  idOf: ReadonlyMap<string, number>,
): (left: number, right: number) => number {
  const known = new Map<number, number>()
  return (left, right) => {
    const key = left * pieces.length + right
    const found = known.get(key)
    if (found !== undefined) return found
    const merged = idOf.get(`${pieces[left]}${pieces[right]}`) ?? -1
    if (known.size >= maximumRememberedPairs) known.clear()
    known.set(key, merged)
    return merged
  }
}

const maximumRememberedPairs = 1 << 18
