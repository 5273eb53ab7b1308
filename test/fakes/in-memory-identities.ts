/** Digests and peer ids that look real and are always the same. */
import { type Digest, digestSchema } from '#contracts/digest.ts'

/** 64 hexadecimal characters from a number, spread so that neighbours look different. */
export function digestOf(seed: number): Digest {
  let state = (seed + 1) * 2654435761
  const word = () => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 0x9e3779b9) >>> 0
    return state.toString(16).padStart(8, '0')
  }
  return digestSchema.parse(Array.from({ length: 8 }, word).join(''))
}

const base58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

export function peerIdOf(seed: number): string {
  const digits = [...digestOf(seed * 7919), ...digestOf(seed * 104_729)]
  const tail = digits.slice(0, 44).map((digit, at) => base58[(Number.parseInt(digit, 16) * 7 + at * 11 + seed) % 58])
  return `12D3KooW${tail.join('')}`
}
