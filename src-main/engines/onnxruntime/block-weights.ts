/** A block's weights in the form in which its graph takes them: query, key and value as one matrix, heads padded. */
import type { BlockTensorNames, ModelConfig } from '#contracts/model/manifest.ts'
import { decodeFloats, decodeFloatsInto } from '#core/numerics/dtypes.ts'
import type { StoredTensor } from '#core/ports/model-store.ts'
import { padColumns, paddedHeadSize, padRows, queryKeyPlaces, valuePlaces } from './head-padding.ts'
import { layOut, type WeightLayout } from './weight-layout.ts'

type Role = keyof BlockTensorNames
type Projection = 'query' | 'key' | 'value'
export type BlockWeightName = Exclude<Role, Projection> | 'queryKeyValue'
export type BlockLayout = WeightLayout<BlockWeightName>

/** Matrices are (out, in). */
export function layOutBlock(config: ModelConfig): BlockLayout {
  const { hiddenSize, intermediateSize, headCount, kvHeadCount } = config
  const headSize = paddedHeadSize(config.headSize)
  return layOut({
    attentionNorm: [hiddenSize],
    queryKeyValue: [(headCount + 2 * kvHeadCount) * headSize, hiddenSize],
    output: [hiddenSize, headCount * headSize],
    feedForwardNorm: [hiddenSize],
    gate: [intermediateSize, hiddenSize],
    up: [intermediateSize, hiddenSize],
    down: [hiddenSize, intermediateSize],
  })
}

/** Decodes `tensor` to its place in `staging`. Padding is never written: it stays zero from block to block. */
export function placeBlockTensor(
  staging: Float32Array,
  layout: BlockLayout,
  config: ModelConfig,
  [role, tensor]: readonly [Role, StoredTensor],
): void {
  switch (role) {
    case 'query':
    case 'key':
    case 'value': {
      const places = role === 'value' ? valuePlaces(config.headSize) : queryKeyPlaces(config)
      const target = projectionView(layout.view(staging, 'queryKeyValue'), config, role)
      padRows(decodeFloats(tensor.dtype, tensor.bytes), target, places, config.hiddenSize)
      break
    }
    case 'output':
      padColumns(decodeFloats(tensor.dtype, tensor.bytes), layout.view(staging, role), valuePlaces(config.headSize))
      break
    default:
      decodeFloatsInto(layout.view(staging, role), tensor.dtype, tensor.bytes)
  }
}

/** The rows of the joined matrix that belong to `role`: first queries, then keys, then values. */
function projectionView(joined: Float32Array, config: ModelConfig, role: Projection): Float32Array {
  const { headCount, kvHeadCount, hiddenSize } = config
  const firstHead = { query: 0, key: headCount, value: headCount + kvHeadCount }[role]
  const heads = role === 'query' ? headCount : kvHeadCount
  const headElements = paddedHeadSize(config.headSize) * hiddenSize
  return joined.subarray(firstHead * headElements, (firstHead + heads) * headElements)
}
