/**
 * A patch against the model it is for. A kernel trusts indices and lengths, so they are checked here once, and each tensor
 * and each (IA)³ vector comes at most once: two changes of one thing are two patches.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { PatchMismatchError } from '#core/errors.ts'
import type { ActivationScale, LowRankDelta, PatchWeights, SparseDelta } from '#core/ports/engine.ts'
import { locateTensor, scaleSize, type TensorTarget } from './patch-target.ts'

/**
 * Throws `PatchMismatchError` for tensors or blocks the model does not have or that come twice, indices that do not ascend
 * or lie outside their tensor, lengths that do not fit, factors of anything but a block's matrix, and values that are not
 * finite. A tensor may have both a delta and factors.
 */
export function checkPatch(config: ModelConfig, patch: PatchWeights): void {
  const seen = new Set<string>()
  for (const delta of patch.deltas) {
    checkOnce(seen, delta.tensor)
    checkDelta(delta, locateTensor(config, delta.tensor))
  }
  for (const scale of patch.scales) {
    checkOnce(seen, scaleName(scale))
    checkScale(scale, config)
  }
  for (const factors of patch.factors ?? []) {
    checkOnce(seen, `factors of ${factors.tensor}`)
    checkFactors(factors, locateTensor(config, factors.tensor))
  }
}

/** Throws `PatchMismatchError` unless indices ascend within the tensor, none twice. `where` names it. */
export function checkIndices(where: string, indices: Uint32Array, shape: readonly number[]): void {
  const size = shape.reduce((product, dimension) => product * dimension, 1)
  let previous = -1
  for (const index of indices) {
    if (index <= previous) throw new PatchMismatchError(where, `index ${index} comes after ${previous}`)
    if (index >= size) throw new PatchMismatchError(where, `index ${index} of ${size}`)
    previous = index
  }
}

function checkDelta({ tensor, indices, values }: SparseDelta, { shape }: TensorTarget): void {
  if (indices.length !== values.length) {
    throw new PatchMismatchError(tensor, `${indices.length} indices and ${values.length} values`)
  }
  checkIndices(tensor, indices, shape)
  checkFinite(tensor, values)
}

function checkScale(scale: ActivationScale, config: ModelConfig): void {
  const size = scaleSize(config, scale.block, scale.target)
  if (scale.values.length !== size) {
    throw new PatchMismatchError(scaleName(scale), `${scale.values.length} values, not ${size}`)
  }
  checkFinite(scaleName(scale), scale.values)
}

function checkFactors({ tensor, rank, left, right }: LowRankDelta, { kind, shape }: TensorTarget): void {
  const [rows, columns] = shape
  if (kind !== 'block' || rows === undefined || columns === undefined) {
    throw new PatchMismatchError(tensor, 'is no matrix of a block: it cannot have factors')
  }
  if (!Number.isInteger(rank) || rank < 1) throw new PatchMismatchError(tensor, `factors of rank ${rank}`)
  if (left.length !== rows * rank || right.length !== rank * columns) {
    throw new PatchMismatchError(
      tensor,
      `factors of ${left.length} and ${right.length} values, not ${rows * rank} and ${rank * columns}`,
    )
  }
  checkFinite(tensor, left)
  checkFinite(tensor, right)
}

function scaleName({ block, target }: Pick<ActivationScale, 'block' | 'target'>): string {
  return `block ${block}, ${target} scale`
}

function checkOnce(seen: Set<string>, where: string): void {
  if (seen.has(where)) throw new PatchMismatchError(where, 'comes twice in one patch')
  seen.add(where)
}

function checkFinite(where: string, values: Float32Array): void {
  const at = values.findIndex((value) => !Number.isFinite(value))
  if (at >= 0) throw new PatchMismatchError(where, `value ${at} is ${values[at]}`)
}
