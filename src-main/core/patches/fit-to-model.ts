/**
 * Whether a patch can be applied to a model of a given shape. The base's digest says that it is the right model; this says
 * that the patch does not name tensors, places or blocks that such a model does not have.
 */
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import type { PatchHeader } from '#contracts/patch-file/header.ts'
import type { PatchContent, ScaleTarget } from '#contracts/patch-file/patch.ts'
import { PatchMismatchError } from '../errors.ts'
import { expectedTensors } from '../models/expected-tensors.ts'

/** A header says enough of it; content is looked at down to its arrays' lengths. Throws `PatchMismatchError`. */
export function fitToModel(patch: Pick<PatchHeader, 'sections'> | PatchContent, config: ModelConfig): void {
  const shapes = new Map(expectedTensors(config).map(({ name, shape }) => [name, shape]))
  for (const { tensor, shape } of deltasOf(patch)) expectShape(shapes, tensor, shape)
  for (const { tensor, shape } of factorsOf(patch)) {
    expectShape(shapes, tensor, shape)
    if (!isBlockMatrix(tensor)) throw new PatchMismatchError(tensor, 'factors change matrices of blocks only')
  }
  for (const { block, target, entries } of scalesOf(patch)) {
    const where = `block ${block} ${target}`
    if (block >= config.blockCount) throw new PatchMismatchError(where, `the model has ${config.blockCount} blocks`)
    const size = scaleSize(config, target)
    if (entries !== size) throw new PatchMismatchError(where, `${entries} scales, the model has ${size} activations`)
  }
}

/** How many numbers the activation has that `target` scales. */
export function scaleSize(config: ModelConfig, target: ScaleTarget): number {
  return target === 'feedForward' ? config.intermediateSize : config.kvHeadCount * config.headSize
}

type Patch = Pick<PatchHeader, 'sections'> | PatchContent
type ShapedTensor = { readonly tensor: string; readonly shape: readonly number[] }

function deltasOf(patch: Patch): readonly ShapedTensor[] {
  return 'deltas' in patch ? patch.deltas : patch.sections.filter((section) => section.kind === 'delta')
}

function factorsOf(patch: Patch): readonly ShapedTensor[] {
  return 'factors' in patch ? patch.factors : patch.sections.filter((section) => section.kind === 'factors')
}

function scalesOf(patch: Patch): readonly { block: number; target: ScaleTarget; entries: number }[] {
  if (!('scales' in patch)) return patch.sections.filter((section) => section.kind === 'scale')
  return patch.scales.map(({ block, target, values }) => ({ block, target, entries: values.length }))
}

function expectShape(shapes: ReadonlyMap<string, readonly number[]>, tensor: string, shape: readonly number[]): void {
  const wanted = shapes.get(tensor)
  if (wanted === undefined) throw new PatchMismatchError(tensor, 'the model has no such tensor')
  if (wanted.join() === shape.join()) return
  throw new PatchMismatchError(tensor, `shape [${shape}], the model's is [${wanted}]`)
}

/** Of those tensors that a model has, the matrices of blocks: what has a shape of two and is no end of the model. */
function isBlockMatrix(tensor: string): boolean {
  return tensor !== tensorNames.embedding && tensor !== tensorNames.head
}
