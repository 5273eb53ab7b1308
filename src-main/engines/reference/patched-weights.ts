/**
 * Patches in the plainest way: a session's weights are the base plus its deltas. Tensors that no patch changes are shared
 * with the base. (IA)³ vectors stay apart, since their own gradient is asked for; for a forward pass they go into the rows
 * of the projections they follow: s ⊙ (W x + b) = (diag(s) W) x + s ⊙ b.
 */
import type { BlockTensorRole } from '#contracts/model/manifest.ts'
import type { BlockWeights } from '#core/numerics/block.ts'
import type { BlockScales } from '#core/numerics/block-backward-trace.ts'
import { at, type Floats } from '#core/numerics/floats.ts'
import { addEntries } from '#core/numerics/sparse.ts'
import { addFactors, type TensorFactors } from '../shared/low-rank.ts'
import type { BlockPatch, TensorDelta } from '../shared/patch-split.ts'

export interface PatchedBlock {
  readonly weights: BlockWeights
  readonly scales: BlockScales
}

/** Deltas and factors add up, scales multiply. */
export function applyPatches(base: BlockWeights, patches: readonly BlockPatch[]): PatchedBlock {
  const weights: Partial<Record<BlockTensorRole, Floats>> = { ...base }
  const scales: Partial<Record<keyof BlockScales, Float64Array>> = {}
  for (const patch of patches) {
    for (const [key, delta] of Object.entries(patch.deltas) as [BlockTensorRole, TensorDelta][]) {
      weights[key] = addEntries(weights[key] as Floats, delta)
    }
    for (const [key, factors] of Object.entries(patch.factors) as [BlockTensorRole, TensorFactors][]) {
      const sum = Float64Array.from(weights[key] as Floats)
      addFactors(sum, factors)
      weights[key] = sum
    }
    for (const [key, values] of Object.entries(patch.scales) as [keyof BlockScales, Float32Array][]) {
      const before = scales[key]
      scales[key] = Float64Array.from(values, (value, i) => value * (before ? at(before, i) : 1))
    }
  }
  return { weights: weights as BlockWeights, scales }
}

/** The same function without scales. */
export function mergeScales({ weights, scales }: PatchedBlock): BlockWeights {
  const { keyBias, valueBias } = weights
  return {
    ...weights,
    key: scaleRows(weights.key, scales.key),
    value: scaleRows(weights.value, scales.value),
    up: scaleRows(weights.up, scales.feedForward),
    ...(keyBias && { keyBias: scaleRows(keyBias, scales.key) }),
    ...(valueBias && { valueBias: scaleRows(valueBias, scales.value) }),
  }
}

/** diag(scale) W, or W itself without a scale. `weight`: (rows, columns) or (rows,), `scale`: (rows,) */
function scaleRows(weight: Floats, scale: Floats | undefined): Floats {
  if (scale === undefined) return weight
  const columns = weight.length / scale.length
  return Float64Array.from(weight, (value, i) => value * at(scale, Math.floor(i / columns)))
}
