/** How many numbers a plan trains, tensor by tensor as far as that is known before the mask is. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { tensorNames } from '#contracts/model/manifest.ts'
import type { MaskChoice, TrainingMethod } from '#contracts/patch-file/header.ts'
import { scaleTargets } from '#contracts/patch-file/patch.ts'
import { PatchMismatchError } from '../errors.ts'
import { elementCount, expectedTensors } from '../models/expected-tensors.ts'
import { chosenCount, maskCandidates } from './mask.ts'
import { scaleLength } from './parameters.ts'

export interface TrainedSizes {
  /** What will be chosen from each tensor if the mask spreads evenly; fractions, that add up. */
  readonly tensors: readonly { readonly size: number; readonly entries: number }[]
  /** Vectors of (IA)³. */
  readonly scales: readonly number[]
}

/** Throws `PatchMismatchError` for a shared mask that is not of this model. */
export function sizesOf(
  method: TrainingMethod,
  config: ModelConfig,
  mask: MaskChoice | null,
  shared: readonly { readonly tensor: string; readonly entries: number }[] | null,
): TrainedSizes {
  if (method === 'ia3') return { tensors: [], scales: scaleSizes(config) }
  const all = new Map(expectedTensors(config).map(({ name, shape }) => [name, elementCount(shape)]))
  if (shared !== null) return { tensors: shared.map(({ tensor, entries }) => sizeIn(all, tensor, entries)), scales: [] }
  if (mask === null) return { tensors: [...all.values()].map((size) => ({ size, entries: size })), scales: [] }
  const candidates = maskCandidates(mask, config).map(({ shape }) => elementCount(shape))
  const share = chosenCount(mask, config) / candidates.reduce((sum, size) => sum + size, 0)
  const head = mask.head === 'free' ? (all.get(tensorNames.head) ?? 0) : 0
  const tensors = candidates.map((size) => ({ size, entries: size * share }))
  return { tensors: head > 0 ? [...tensors, { size: head, entries: head }] : tensors, scales: [] }
}

export function countTrained({ tensors, scales }: TrainedSizes): number {
  const entries = tensors.reduce((sum, tensor) => sum + tensor.entries, 0)
  return Math.round(entries + scales.reduce((sum, length) => sum + length, 0))
}

function sizeIn(all: ReadonlyMap<string, number>, tensor: string, entries: number) {
  const size = all.get(tensor)
  if (size === undefined) throw new PatchMismatchError(tensor, 'the model has no such tensor')
  if (entries > size) throw new PatchMismatchError(tensor, `${entries} entries of ${size}`)
  return { size, entries }
}

function scaleSizes(config: ModelConfig): number[] {
  const block = scaleTargets.map((target) => scaleLength(config, target))
  return Array.from({ length: config.blockCount }, () => block).flat()
}
