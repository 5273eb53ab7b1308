/** What compute needs of a patch. */
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import type { PatchWeights } from '../ports/engine.ts'

/** The same arrays, not copies of them. */
export function patchWeightsOf({ deltas, scales, factors }: PatchContent): PatchWeights {
  return {
    deltas: deltas.map(({ tensor, indices, values }) => ({ tensor, indices, values })),
    scales,
    factors: factors.map(({ tensor, rank, left, right }) => ({ tensor, rank, left, right })),
  }
}
