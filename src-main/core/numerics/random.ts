/**
 * Seeded pseudo-random numbers: xoshiro128** 1.1 by Blackman and Vigna (2018, "Scrambled linear pseudorandom number
 * generators", public domain), its 128 bits of state filled from a 32-bit seed by splitmix32. The sequence for a seed is
 * part of what "same seed, same text" and "same seed, same patch" promise, so it never changes.
 */

const two32 = 0x1_0000_0000

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits))
}

/** Successive 32-bit outputs of xoshiro128** from a state that is not all zero. */
export function xoshiro128(state: readonly [number, number, number, number]): () => number {
  let [a, b, c, d] = state
  return () => {
    const output = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotateLeft(d, 11)
    return output
  }
}

/** Weyl sequence through the finaliser of MurmurHash3: spreads near seeds far apart and never yields four zeros. */
function splitmix32(seed: number): () => number {
  let weyl = seed | 0
  return () => {
    weyl = (weyl + 0x9e3779b9) | 0
    let word = weyl ^ (weyl >>> 16)
    word = Math.imul(word, 0x85ebca6b)
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35)
    return (word ^ (word >>> 16)) >>> 0
  }
}

/** Uniform numbers in [0, 1) with 53 random bits each, for a seed in [0, 2^32). */
export function createRandom(seed: number): () => number {
  const fill = splitmix32(seed)
  const next = xoshiro128([fill(), fill(), fill(), fill()])
  return () => ((next() >>> 5) * 0x400_0000 + (next() >>> 6)) / (two32 * 0x20_0000)
}

/** A seed of its own for each use of one seed: another list of `labels` (32-bit integers), another sequence. */
export function deriveSeed(seed: number, ...labels: readonly number[]): number {
  return labels.reduce((derived, label) => splitmix32(splitmix32(derived)() ^ label)(), seed >>> 0)
}

/** 0 … count - 1 in an order that only the seed decides (Fisher and Yates' shuffle, from the end). */
export function shuffledIndices(count: number, seed: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index)
  const random = createRandom(seed)
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    const moved = order[last] as number
    order[last] = order[other] as number
    order[other] = moved
  }
  return order
}
