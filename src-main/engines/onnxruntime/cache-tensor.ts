/** Keys or values of one sequence in one block: (1, kvHeads, capacity, headSize), as the attention kernel wants them. */

import { Tensor, type TypedTensor } from 'onnxruntime-node'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { paddedHeadSize } from './head-padding.ts'

export type CacheTensor = TypedTensor<'float32'>

/** The attention kernel's time grows with the rows allocated, not with those used, so a cache grows in steps. */
const positionsPerStep = 256

/** Rows to allocate for `length` positions of a sequence that never exceeds `maxLength`. */
export function capacityFor(length: number, maxLength: number): number {
  return Math.min(maxLength, Math.ceil(length / positionsPerStep) * positionsPerStep)
}

/** `tensor` itself when it has `capacity` rows or more, else a longer one with the same rows first. */
export function growCacheTensor(tensor: CacheTensor | null, capacity: number, config: ModelConfig): CacheTensor {
  const held = tensor?.dims[2] ?? 0
  if (tensor && held >= capacity) return tensor
  const { kvHeadCount } = config
  const headSize = paddedHeadSize(config.headSize)
  const grown = new Float32Array(kvHeadCount * capacity * headSize)
  for (let head = 0; tensor && head < kvHeadCount; head++) {
    const start = head * held * headSize
    grown.set(tensor.data.subarray(start, start + held * headSize), head * capacity * headSize)
  }
  return new Tensor('float32', grown, [1, kvHeadCount, capacity, headSize])
}

/** Writes `rows` (1, kvHeads, tokens, headSize) at positions [position, position + tokens) of every head. */
export function writeRows(tensor: CacheTensor, rows: Float32Array, position: number): void {
  const [, heads = 0, capacity = 0, headSize = 0] = tensor.dims
  const headElements = rows.length / heads
  for (let head = 0; head < heads; head++) {
    const start = (head * capacity + position) * headSize
    tensor.data.set(rows.subarray(head * headElements, (head + 1) * headElements), start)
  }
}
