/** A patch taken apart by where it acts, which is how engines hold weights: block by block, and the client's ends. */
import type { BlockTensorRole, ModelConfig } from '#contracts/model/manifest.ts'
import type { Span } from '#contracts/span.ts'
import type { PatchWeights, ScaleTarget } from '#core/ports/engine.ts'
import type { TensorFactors } from './low-rank.ts'
import { checkPatch } from './patch-check.ts'
import { type EndTensorRole, locateTensor } from './patch-target.ts'

/** Changes of some entries of one tensor: row-major places, ascending, and what is added there. */
export interface TensorDelta {
  readonly indices: Uint32Array
  readonly values: Float32Array
}

export interface BlockPatch {
  readonly deltas: Readonly<Partial<Record<BlockTensorRole, TensorDelta>>>
  readonly factors: Readonly<Partial<Record<BlockTensorRole, TensorFactors>>>
  readonly scales: Readonly<Partial<Record<ScaleTarget, Float32Array>>>
}

/** `head` is the embedding's delta when the model ties them. */
export type EndsPatch = Readonly<Partial<Record<EndTensorRole, TensorDelta>>>

export interface SplitPatch {
  /** Only blocks that the patch changes. */
  readonly blocks: ReadonlyMap<number, BlockPatch>
  readonly ends: EndsPatch
}

/** Checks and copies: the caller's arrays may change afterwards. Throws `PatchMismatchError` as `checkPatch`. */
export function splitPatch(patch: PatchWeights, config: ModelConfig): SplitPatch {
  checkPatch(config, patch)
  const blocks = new Map<number, BlockPatchUnderWay>()
  const ends: Partial<Record<EndTensorRole, TensorDelta>> = {}
  const blockPatch = (block: number) => {
    const found = blocks.get(block) ?? { deltas: {}, factors: {}, scales: {} }
    blocks.set(block, found)
    return found
  }
  for (const { tensor, indices, values } of patch.deltas) {
    const target = locateTensor(config, tensor)
    const delta = { indices: indices.slice(), values: values.slice() }
    if (target.kind === 'block') blockPatch(target.block).deltas[target.role] = delta
    else ends[target.role] = delta
  }
  for (const { tensor, rank, left, right } of patch.factors ?? []) {
    const target = locateTensor(config, tensor)
    if (target.kind !== 'block') continue // refused above
    blockPatch(target.block).factors[target.role] = { rank, left: left.slice(), right: right.slice() }
  }
  for (const { block, target, values } of patch.scales) blockPatch(block).scales[target] = values.slice()
  return { blocks, ends: config.tiedHead && ends.embedding ? { ...ends, head: ends.embedding } : ends }
}

interface BlockPatchUnderWay {
  readonly deltas: Record<string, TensorDelta>
  readonly factors: Record<string, TensorFactors>
  readonly scales: Record<string, Float32Array>
}

/** Bytes held by the parts of a patch that act on `span`. */
export function blockPatchBytes({ blocks }: SplitPatch, span: Span): number {
  let bytes = 0
  for (const [block, { deltas, factors, scales }] of blocks) {
    if (block < span.start || block >= span.end) continue
    for (const delta of Object.values(deltas)) bytes += deltaBytes(delta)
    for (const { left, right } of Object.values(factors)) bytes += left.byteLength + right.byteLength
    for (const values of Object.values(scales)) bytes += values.byteLength
  }
  return bytes
}

/** Bytes held by the part of a patch that acts on the ends; a tied head's delta is the embedding's. */
export function endsPatchBytes(ends: EndsPatch): number {
  return [...new Set(Object.values(ends))].reduce((sum, delta) => sum + deltaBytes(delta), 0)
}

function deltaBytes({ indices, values }: TensorDelta): number {
  return indices.byteLength + values.byteLength
}
