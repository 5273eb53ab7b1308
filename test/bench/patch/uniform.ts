/** Numbers from 0 to 1 by a seed (Marsaglia's xorshift): the same bench every time. */
export function uniformNumbers(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
