/** What was trained, as a patch's content. */

import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { ValueFormat } from '#contracts/patch-file/header.ts'
import type { PatchContent, PatchDelta, PatchScale } from '#contracts/patch-file/patch.ts'
import { scaleTargets } from '#contracts/patch-file/patch.ts'
import { roundValues } from '#contracts/patch-file/value-codec.ts'
import { expectedTensors } from '../models/expected-tensors.ts'
import type { TrainedParameter } from '../ports/engine.ts'
import { allIndices } from './mask.ts'

/** Numbers of each parameter, in their order. */
export interface TrainedValues {
  readonly parameters: readonly TrainedParameter[]
  /** Before training: the base, and the patches it stands on. */
  readonly base: readonly Float32Array[]
  readonly values: readonly Float32Array[]
}

/** The values that whoever applies the patch will have: base + rounded(value - base), in float32. Scales are stored whole. */
export function valuesAsWritten({ parameters, base, values }: TrainedValues, format: ValueFormat): Float32Array[] {
  return parameters.map(({ kind }, p) => {
    const [before, after] = [base[p] as Float32Array, values[p] as Float32Array]
    if (kind === 'scale') return after
    return roundValues(difference(after, before), format).map((change, i) => (before[i] as number) + change)
  })
}

/** Deltas are rounded to `format`. `fisher`: one array for each parameter, or null. */
export function contentOf(
  trained: TrainedValues,
  config: ModelConfig,
  format: ValueFormat,
  fisher: readonly Float32Array[] | null,
): PatchContent {
  const shapes = new Map(expectedTensors(config).map(({ name, shape }) => [name, shape]))
  const deltas: PatchDelta[] = []
  const scales: PatchScale[] = []
  for (const [p, parameter] of trained.parameters.entries()) {
    const [before, after] = [trained.base[p] as Float32Array, trained.values[p] as Float32Array]
    if (parameter.kind === 'scale') {
      scales.push({ block: parameter.block, target: parameter.target, values: after })
      continue
    }
    deltas.push({
      tensor: parameter.name,
      shape: shapes.get(parameter.name) ?? [after.length],
      indices: parameter.kind === 'entries' ? parameter.indices : allIndices(after.length),
      values: roundValues(difference(after, before), format),
      fisher: fisher?.[p] ?? null,
    })
  }
  return { deltas: deltas.sort(byTensor), scales: scales.sort(byPlace), factors: [] }
}

function difference(after: Float32Array, before: Float32Array): Float32Array {
  return after.map((value, i) => value - (before[i] as number))
}

function byTensor(a: PatchDelta, b: PatchDelta): number {
  return a.tensor < b.tensor ? -1 : Number(a.tensor > b.tensor)
}

function byPlace(a: PatchScale, b: PatchScale): number {
  return a.block - b.block || scaleTargets.indexOf(a.target) - scaleTargets.indexOf(b.target)
}
