/**
 * What a patch changes, in memory: entries of tensors, activations' scales, products of two thin matrices. A file
 * (`docs/formats/patch-file.md`) holds one of these and says where it comes from (`header.ts`).
 */

/** Changes to entries of one tensor. */
export interface PatchDelta {
  /** The tensor's canonical name (`tensorNames`). */
  readonly tensor: string
  readonly shape: readonly number[]
  /** Places in the tensor, row-major, strictly ascending, each below the product of `shape`, which is at most 2^32. */
  readonly indices: Uint32Array
  /** What is added at each place. Finite. */
  readonly values: Float32Array
  /** The diagonal Fisher information at each place, not negative; null when the patch does not tell. */
  readonly fisher: Float32Array | null
}

/** (IA)³ (Liu et al. 2022): what an activation is multiplied by. */
export const scaleTargets = ['key', 'value', 'feedForward'] as const
export type ScaleTarget = (typeof scaleTargets)[number]

export interface PatchScale {
  readonly block: number
  readonly target: ScaleTarget
  readonly values: Float32Array
}

/** LoRA (Hu et al. 2022): `left` times `right` is added to a matrix. A factor alpha / rank is multiplied into `left`. */
export interface PatchFactors {
  readonly tensor: string
  /** (out, in) of the tensor. */
  readonly shape: readonly [number, number]
  readonly rank: number
  readonly left: Float32Array // (out, rank)
  readonly right: Float32Array // (rank, in)
}

/** Each list in the order of names (code units), or of blocks and `scaleTargets`; none twice. */
export interface PatchContent {
  readonly deltas: readonly PatchDelta[]
  readonly scales: readonly PatchScale[]
  readonly factors: readonly PatchFactors[]
}
