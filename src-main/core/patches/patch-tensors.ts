/**
 * Patches put into weights: W' = s ∘ (W + Σ Δ + Σ L R), where s are the scales that (IA)³ puts on what a projection gives
 * (its rows, and its bias) or takes (its columns), and patches add up and multiply as engines apply them. Each sum is
 * float64 and rounded once.
 */
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import type { PatchContent, PatchScale } from '#contracts/patch-file/patch.ts'
import { lowerBound } from '../numerics/sparse.ts'
import type { LowRankDelta } from '../ports/engine.ts'
import type { SparsePart } from './tensor-parts.ts'

/** All that patches do to one tensor. */
interface TensorPlan {
  readonly deltas: SparsePart[]
  readonly factors: LowRankDelta[]
  readonly rowScales: Float32Array[] // (out,)
  readonly columnScales: Float32Array[] // (in,)
}

export interface PatchedTensors {
  /** Whether the patches reach that tensor. */
  changes(tensor: string): boolean
  /** In place. `values`: all of the tensor, of `shape` as the model's. */
  apply(tensor: string, shape: readonly number[], values: Float32Array): void
}

/** The patches have been fitted to the model (`fitToModel`). */
export function patchTensors(patches: readonly PatchContent[], config: ModelConfig): PatchedTensors {
  const plans = new Map<string, TensorPlan>()
  const planOf = (tensor: string): TensorPlan => {
    const plan = plans.get(tensor) ?? { deltas: [], factors: [], rowScales: [], columnScales: [] }
    plans.set(tensor, plan)
    return plan
  }
  for (const { deltas, scales, factors } of patches) {
    for (const delta of deltas) planOf(delta.tensor).deltas.push(delta)
    for (const factor of factors) planOf(factor.tensor).factors.push(factor)
    for (const scale of scales) planScale(scale, config, planOf)
  }
  return {
    changes: (tensor) => plans.has(tensor),
    apply(tensor, shape, values) {
      const plan = plans.get(tensor)
      if (plan !== undefined) applyPlan(plan, values, shape.length === 1 ? 1 : (shape.at(-1) ?? 1))
    },
  }
}

function planScale({ block, target, values }: PatchScale, config: ModelConfig, planOf: (name: string) => TensorPlan) {
  const names = tensorNames.block(block)
  if (target === 'feedForward') {
    planOf(names.down).columnScales.push(values)
    return
  }
  planOf(names[target]).rowScales.push(values)
  if (config.attentionBias) planOf(target === 'key' ? names.keyBias : names.valueBias).rowScales.push(values)
}

/** A vector is a matrix of one column. */
function applyPlan(plan: TensorPlan, values: Float32Array, columns: number): void {
  const row = new Float64Array(columns)
  for (let o = 0; o * columns < values.length; o++) {
    const target = values.subarray(o * columns, (o + 1) * columns)
    row.set(target)
    for (const delta of plan.deltas) addDeltaRow(row, delta, o)
    for (const product of plan.factors) addProductRow(row, product, o)
    for (const scales of plan.rowScales) for (let i = 0; i < columns; i++) multiply(row, i, scales[o] as number)
    for (const scales of plan.columnScales) for (let i = 0; i < columns; i++) multiply(row, i, scales[i] as number)
    target.set(row)
  }
}

function addDeltaRow(row: Float64Array, { indices, values }: SparsePart, o: number): void {
  const [first, end] = [o * row.length, (o + 1) * row.length]
  for (let k = lowerBound(indices, first); k < indices.length && (indices[k] as number) < end; k++) {
    const i = (indices[k] as number) - first
    row[i] = (row[i] as number) + (values[k] as number)
  }
}

function addProductRow(row: Float64Array, { rank, left, right }: LowRankDelta, o: number): void {
  for (let r = 0; r < rank; r++) {
    const factor = left[o * rank + r] as number
    for (let i = 0; i < row.length; i++) row[i] = (row[i] as number) + factor * (right[r * row.length + i] as number)
  }
}

function multiply(row: Float64Array, i: number, scale: number): void {
  row[i] = (row[i] as number) * scale
}
