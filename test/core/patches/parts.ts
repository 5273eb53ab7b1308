/** Parts of patches, in short. */
import type { PatchContent, PatchDelta, PatchFactors, PatchScale, ScaleTarget } from '#contracts/patch-file/patch.ts'

export function delta(tensor: string, shape: readonly number[], indices: number[], values: number[]): PatchDelta {
  return { tensor, shape, indices: Uint32Array.from(indices), values: Float32Array.from(values), fisher: null }
}

export function scale(block: number, target: ScaleTarget, values: number[]): PatchScale {
  return { block, target, values: Float32Array.from(values) }
}

/** Numbers count up, unless they are given. */
export function factors(
  tensor: string,
  shape: readonly [number, number],
  rank: number,
  values?: { left: number[]; right: number[] },
): PatchFactors {
  const counting = (length: number) => Float32Array.from({ length }, (_, i) => (i + 1) / 8)
  const left = values === undefined ? counting(shape[0] * rank) : Float32Array.from(values.left)
  const right = values === undefined ? counting(rank * shape[1]) : Float32Array.from(values.right)
  return { tensor, shape, rank, left, right }
}

export function content(parts: Partial<PatchContent>): PatchContent {
  return { deltas: [], scales: [], factors: [], ...parts }
}
