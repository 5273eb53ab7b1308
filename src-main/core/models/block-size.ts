/** How much memory parts of a model take once loaded as float32, and how much they take on disk. Bytes throughout. */
import { type ModelConfig, type ModelManifest, storedBytes as tensorBytes } from '#contracts/model/manifest.ts'
import { blockTensors, elementCount, endTensors, type TensorShape } from './expected-tensors.ts'

const float32Bytes = 4

/** Weights of one block; all blocks of a Llama are alike. */
export function blockWeightBytes(config: ModelConfig): number {
  return float32Size(blockTensors(config, 0))
}

/** What a client holds besides blocks: embedding, final norm, and the head unless tied. */
export function endsWeightBytes(config: ModelConfig): number {
  return float32Size(endTensors(config))
}

/** Keys and values of one position in one block's KV cache: 2 x kvHeads x headSize float32. */
export function cacheBytesPerPosition(config: ModelConfig): number {
  return 2 * config.kvHeadCount * config.headSize * float32Bytes
}

/** All tensors as stored. */
export function storedBytes(manifest: Pick<ModelManifest, 'tensors'>): number {
  return manifest.tensors.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, elementCount(shape)), 0)
}

function float32Size(tensors: readonly TensorShape[]): number {
  return tensors.reduce((sum, { shape }) => sum + float32Bytes * elementCount(shape), 0)
}
