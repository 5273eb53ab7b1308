/** How much memory parts of a model take once loaded, by weight format, and how much they take on disk. Bytes throughout. */
import { type ModelConfig, type ModelManifest, storedBytes as tensorBytes } from '#contracts/model/manifest.ts'
import type { WeightFormat } from '../ports/engine.ts'
import { blockTensors, elementCount, endTensors, type TensorShape } from './expected-tensors.ts'

const float32Bytes = 4

/** Bytes a weight, with its share of a group's scale and of the sum that the runtime keeps beside it: groups of 128 and 32. */
const bytesPerWeight: Readonly<Record<WeightFormat, number>> = {
  float32: 4,
  float16: 2,
  int8: 1 + 8 / 128,
  int4: 0.5 + 8 / 32,
}

/** Weights of one block; all blocks of a Llama are alike. */
export function blockWeightBytes(config: ModelConfig, format: WeightFormat): number {
  return weightBytes(blockTensors(config, 0), format)
}

/** What a client holds besides blocks: embedding, final norm and head. The head is never less than int8. */
export function endsWeightBytes(config: ModelConfig, format: WeightFormat): number {
  const head = config.tiedHead ? config.vocabularySize * config.hiddenSize * bytesPerWeight[atLeastInt8(format)] : 0
  return weightBytes(endTensors(config), atLeastInt8(format)) + Math.ceil(head)
}

/** Of all blocks and the ends. */
export function modelWeightBytes(config: ModelConfig, format: WeightFormat): number {
  return config.blockCount * blockWeightBytes(config, format) + endsWeightBytes(config, format)
}

/** Keys and values of one position in one block's KV cache: 2 x kvHeads x headSize float32. */
export function cacheBytesPerPosition(config: ModelConfig): number {
  return 2 * config.kvHeadCount * config.headSize * float32Bytes
}

/** All tensors as stored. */
export function storedBytes(manifest: Pick<ModelManifest, 'tensors'>): number {
  return manifest.tensors.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, elementCount(shape)), 0)
}

/** Vectors are float32 whatever the format. */
function weightBytes(tensors: readonly TensorShape[], format: WeightFormat): number {
  return tensors.reduce((sum, { shape }) => {
    return sum + Math.ceil(elementCount(shape) * (shape.length === 1 ? float32Bytes : bytesPerWeight[format]))
  }, 0)
}

function atLeastInt8(format: WeightFormat): WeightFormat {
  return format === 'int4' ? 'int8' : format
}
