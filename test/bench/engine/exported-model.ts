/** A model that we can read, written as GGUF in a storage type of choice, so that llama.cpp reads the same weights. */
import type { Dtype, ModelConfig } from '#contracts/model/manifest.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import {
  f32,
  fromFloats,
  type GgufMetadata,
  type GgufTensorPlan,
  ggufName,
  shapeMetadata,
  writeGguf,
} from '#test/helpers/gguf-writer.ts'

/** Matrices are stored as `dtype`, vectors as float32. Rotary pairs become neighbours, as GGUF has them in Llamas. */
export async function exportGguf(
  path: string,
  model: ModelHandle,
  { dtype, tokenizer }: { readonly dtype: Dtype; readonly tokenizer: GgufMetadata },
): Promise<void> {
  const { config, tensors: entries } = model.manifest
  const tensors: GgufTensorPlan[] = []
  for (const { name, shape } of entries) {
    const stored = await model.readTensor(name)
    const floats = withNeighbours(name, decodeFloats(stored.dtype, stored.bytes), config)
    tensors.push({ name: ggufName(name), dtype: shape.length === 1 ? 'F32' : dtype, shape, fill: fromFloats(floats) })
  }
  const theta = { 'llama.rope.freq_base': f32(config.ropeTheta) }
  await writeGguf(path, { metadata: { ...shapeMetadata(config), ...tokenizer, ...theta }, tensors })
}

function withNeighbours(name: string, floats: Float32Array, config: ModelConfig): Float32Array {
  return config.ropeStyle === 'half' && isRotated(name) ? regroupRows(floats, config, 'neighbours') : floats
}

/** Query and key projections. */
export function isRotated(name: string): boolean {
  return /\.[qk]_proj\.weight$/.test(name)
}

/**
 * (heads * headSize, hidden), the rows of each head moved: rotary pairs (i, i + headSize/2) become neighbours (2i, 2i + 1),
 * or neighbours become halves.
 */
export function regroupRows(matrix: Float32Array, config: ModelConfig, to: 'neighbours' | 'halves'): Float32Array {
  const { headSize, hiddenSize } = config
  const half = headSize / 2
  const moved = new Float32Array(matrix.length)
  for (let row = 0; row < matrix.length / hiddenSize; row++) {
    const [head, inHead] = [row - (row % headSize), row % headSize]
    const apart = (inHead % 2) * half + (inHead >> 1)
    const [from, place] = to === 'neighbours' ? [head + apart, row] : [row, head + apart]
    moved.set(matrix.subarray(from * hiddenSize, (from + 1) * hiddenSize), place * hiddenSize)
  }
  return moved
}
