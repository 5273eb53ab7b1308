/** How much a patch changes each tensor. */
import type { TensorChange } from '#contracts/api/patches.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { dotOfFactors, norm, peak, peakBound } from './products.ts'
import { partsOf, type TensorPart } from './tensor-parts.ts'

/** In the content's order. `largest` of factors is a bound: no entry of the product is larger. */
export function tensorChanges(content: PatchContent): TensorChange[] {
  return partsOf(content).map(changeOf)
}

function changeOf({ tensor, kind, size, sparse, factors }: TensorPart): TensorChange {
  if (factors !== null) {
    const length = Math.sqrt(Math.max(0, dotOfFactors(factors, factors)))
    return { tensor, kind, entries: size, size, norm: length, largest: peakBound(factors) }
  }
  const values = sparse?.values ?? new Float32Array()
  return { tensor, kind, entries: values.length, size, norm: norm(values), largest: peak(values) }
}
