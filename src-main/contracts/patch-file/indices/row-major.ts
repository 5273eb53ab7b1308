/**
 * Gaps between indices in their order, for an arithmetic coder; a gap's context is the length of the one before. For dense
 * places at random, where Rice's code wastes up to four in a hundred, and for tensors too large to count margins of.
 */
import { PatchFormatError } from '../errors.ts'
import { codeGap, createGapModels, gapLength } from './gaps.ts'
import type { BitCoder } from './range-coder.ts'

/** Reads or writes the indices in place. Throws `PatchFormatError` for an index outside of `places`. */
export function codeRowMajor(coder: BitCoder, indices: Uint32Array, places: number): void {
  const models = createGapModels(33)
  let from = 0
  let context = 32
  for (let i = 0; i < indices.length; i++) {
    const gap = codeGap(coder, models, (indices[i] as number) - from, context)
    const index = from + gap
    if (index >= places) throw new PatchFormatError(`index ${i}`, `${index} is outside of ${places} places`)
    indices[i] = index
    from = index + 1
    context = gapLength(gap)
  }
}
