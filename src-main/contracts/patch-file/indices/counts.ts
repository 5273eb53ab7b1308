/**
 * Lists of counts (entries in each row, in each column) for an arithmetic coder. A count is the number of its bits, in
 * unary, and the bits below the highest. The unary bits depend on how large the count before was: rows that matter, and rows that
 * do not, come in runs. Of the other bits the two highest are adaptive.
 */
import { BitModels } from './bit-models.ts'
import type { BitCoder } from './range-coder.ts'

const longest = 33
const neighbours = 5
const adaptiveBits = 2
const limit = 60

/** Of one list. */
export interface CountModels {
  readonly lengths: BitModels
  readonly bits: BitModels
}

export function createCountModels(): CountModels {
  return { lengths: new BitModels(neighbours * longest, limit), bits: new BitModels(longest << adaptiveBits, limit) }
}

/** Reads or writes `counts` in place, each below 2^32. */
export function codeCounts(coder: BitCoder, counts: Uint32Array): void {
  const models = createCountModels()
  let before = 0
  for (let i = 0; i < counts.length; i++) {
    before = codeCount(coder, models, counts[i] as number, Math.min(32 - Math.clz32(before), neighbours - 1))
    counts[i] = before
  }
}

function codeCount(coder: BitCoder, models: CountModels, count: number, neighbour: number): number {
  const length = codeLength(coder, models.lengths, 32 - Math.clz32(count), neighbour * longest)
  if (length < 2) return length
  let value = 1
  for (let at = length - 2; at >= 0 && at >= length - 1 - adaptiveBits; at--) {
    const context = (length << adaptiveBits) | (at === length - 2 ? 0 : value - 1)
    value = (value << 1) | coder.bit(models.bits, context, (count >>> at) & 1)
  }
  const rest = length - 1 - adaptiveBits
  if (rest <= 0) return value
  return value * 2 ** rest + coder.plain(count & (2 ** rest - 1), rest)
}

/** `length` ones and a zero, which 32 ones need not have. */
function codeLength(coder: BitCoder, models: BitModels, length: number, first: number): number {
  let at = 0
  while (at < 32 && coder.bit(models, first + at, at < length ? 1 : 0) === 1) at++
  return at
}
