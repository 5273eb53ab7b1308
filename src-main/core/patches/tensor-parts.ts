/**
 * What a patch changes, tensor by tensor, as a linear change: deltas as they are, factors as their product, which is never
 * formed, and (IA)³ scales by how far they are from one.
 */
import type { PatchContent, PatchDelta, PatchFactors } from '#contracts/patch-file/patch.ts'

/** Changed entries of a tensor, or of the vector that scales an activation. */
export interface SparsePart {
  readonly indices: Uint32Array
  readonly values: Float32Array
}

export interface TensorPart {
  readonly tensor: string
  readonly kind: 'delta' | 'scale' | 'factors'
  /** Of the tensor. */
  readonly size: number
  readonly sparse: SparsePart | null
  readonly factors: PatchFactors | null
}

/** Each part of a content by itself, in the content's order. A tensor with a delta and factors has two. */
export function partsOf({ deltas, scales, factors }: PatchContent): TensorPart[] {
  return [
    ...deltas.map(
      (delta): TensorPart => ({
        tensor: delta.tensor,
        kind: 'delta',
        size: sizeOf(delta),
        sparse: delta,
        factors: null,
      }),
    ),
    ...scales.map(
      ({ block, target, values }): TensorPart => ({
        tensor: scaleName(block, target),
        kind: 'scale',
        size: values.length,
        sparse: { indices: Uint32Array.from(values.keys()), values: values.map((value) => value - 1) },
        factors: null,
      }),
    ),
    ...factors.map(
      (factor): TensorPart => ({
        tensor: factor.tensor,
        kind: 'factors',
        size: sizeOf(factor),
        sparse: null,
        factors: factor,
      }),
    ),
  ]
}

/** What lists call a scale: no tensor of the model has such a name. */
export function scaleName(block: number, target: string): string {
  return `model.layers.${block}.scale.${target}`
}

function sizeOf({ shape }: PatchDelta | PatchFactors): number {
  return shape.reduce((product, extent) => product * extent, 1)
}
