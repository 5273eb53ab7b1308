/**
 * Patches that training stands on. Changes of tensors go into the weights once, when they are loaded. (IA)³ vectors stay
 * vectors: folded into a projection's rows they would also scale what is then trained of that projection, and a session
 * that applies both patches scales the sum, base and all deltas, once.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { PatchWeights, ScaleTarget } from '#core/ports/engine.ts'
import { addFactors } from '../shared/low-rank.ts'
import { checkPatch } from '../shared/patch-check.ts'

/** (IA)³ vectors of one block. */
export type ScaleVectors = Readonly<Partial<Record<ScaleTarget, Float32Array>>>

/** Throws `PatchMismatchError` as `checkPatch`. */
export function checkPatches(config: ModelConfig, patches: readonly PatchWeights[]): void {
  for (const patch of patches) checkPatch(config, patch)
}

/** Adds what `patches` change in tensor `name` to `values`, in place. */
export function addPatches(values: Float32Array, name: string, patches: readonly PatchWeights[]): void {
  for (const { deltas, factors = [] } of patches) {
    for (const delta of deltas) {
      if (delta.tensor !== name) continue
      for (const [i, index] of delta.indices.entries()) {
        values[index] = (values[index] as number) + (delta.values[i] as number)
      }
    }
    for (const each of factors) if (each.tensor === name) addFactors(values, each)
  }
}

/** What the patches' vectors multiply to, by block. */
export function standingScales(blockCount: number, patches: readonly PatchWeights[]): ScaleVectors[] {
  const blocks: Partial<Record<ScaleTarget, Float32Array>>[] = Array.from({ length: blockCount }, () => ({}))
  for (const { block, target, values } of patches.flatMap(({ scales }) => scales)) {
    const own = blocks[block]
    if (own === undefined) continue // refused when the patches were checked
    const before = own[target]
    own[target] = before ? before.map((value, i) => value * (values[i] as number)) : values.slice()
  }
  return blocks
}
