/**
 * Gaps between one place and the next for an arithmetic coder. A gap is the number of its bits (a binary tree of six adaptive
 * bits), and the bits below the highest: the two highest of them adaptive, the others plain. Between two steps of that scale a
 * geometric distribution is nearly flat, so that random places cost hardly more than they must, and any other distribution what
 * it is worth. All adaptive bits depend on the caller's `context`: what is known of how long the gap will be.
 */
import { BitModels } from './bit-models.ts'
import type { BitCoder } from './range-coder.ts'

const treeBits = 6
const adaptiveBits = 2
const lengths = 33
const limit = 255

export interface GapModels {
  readonly lengths: BitModels
  readonly bits: BitModels
}

export function createGapModels(contexts: number): GapModels {
  return {
    lengths: new BitModels(contexts << treeBits, limit),
    bits: new BitModels((contexts * lengths) << adaptiveBits, limit),
  }
}

/** Reads or writes a gap below 2^32; a reader may get one of up to 2^63. */
export function codeGap(coder: BitCoder, models: GapModels, gap: number, context: number): number {
  const length = codeLength(coder, models.lengths, 32 - Math.clz32(gap), context << treeBits)
  if (length < 2) return length
  const first = (context * lengths + Math.min(length, lengths - 1)) << adaptiveBits
  const adaptive = Math.min(length - 1, adaptiveBits)
  let top = 1
  for (let at = length - 2; at > length - 2 - adaptive; at--) {
    top = 2 * top + coder.bit(models.bits, first + top, (gap >>> at) & 1)
  }
  const rest = length - 1 - adaptive
  if (rest === 0) return top
  return top * 2 ** rest + coder.plain(gap & (2 ** rest - 1), Math.min(rest, 32))
}

function codeLength(coder: BitCoder, models: BitModels, length: number, first: number): number {
  let node = 1
  for (let at = treeBits - 1; at >= 0; at--) node = 2 * node + coder.bit(models, first + node, (length >>> at) & 1)
  return node - 2 ** treeBits
}

/** Bits of a gap's number, as the context of the next. */
export function gapLength(gap: number): number {
  return 32 - Math.clz32(gap)
}
