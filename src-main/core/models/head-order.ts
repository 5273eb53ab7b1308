/**
 * Rotary positions turn pairs of a head's numbers: (i, i + size / 2) in Hugging Face's files, (2i, 2i + 1) in llama2.c's and
 * many GGUF files. The same model in the other order has the rows of its query and key projections rearranged, head by head.
 */
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'

export type HeadOrder = ModelConfig['ropeStyle']

/** Heads of a tensor whose rows are arranged by head order; 0 for tensors that are the same in both. */
export function orderedHeads(tensor: string, config: ModelConfig): number {
  const block = /^model\.layers\.(\d+)\./.exec(tensor)?.[1]
  if (block === undefined) return 0
  const names = tensorNames.block(Number(block))
  if (tensor === names.query || tensor === names.queryBias) return config.headCount
  return tensor === names.key || tensor === names.keyBias ? config.kvHeadCount : 0
}

/** A new array: rows (heads * headSize, columns) in the order `to`, from the other one. */
export function reorderHeads(
  rows: Float32Array,
  shape: { heads: number; headSize: number },
  to: HeadOrder,
): Float32Array {
  const { heads, headSize } = shape
  const columns = rows.length / (heads * headSize)
  const ordered = new Float32Array(rows.length)
  for (let row = 0; row < heads * headSize; row++) {
    const source = Math.floor(row / headSize) * headSize + otherPlace(row % headSize, headSize, to)
    ordered.set(rows.subarray(source * columns, (source + 1) * columns), row * columns)
  }
  return ordered
}

/** Where number `place` of a head in the order `to` stands in the other order. */
function otherPlace(place: number, headSize: number, to: HeadOrder): number {
  const half = headSize / 2
  if (to === 'interleaved') return (place % 2) * half + Math.floor(place / 2)
  return place < half ? 2 * place : 2 * (place - half) + 1
}
