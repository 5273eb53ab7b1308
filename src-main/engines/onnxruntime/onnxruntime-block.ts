import { type InferenceSession, Tensor } from 'onnxruntime-node'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { BlockCache, LoadedBlock } from '../shared/loaded-block.ts'
import { type CacheTensor, capacityFor, growCacheTensor, writeRows } from './cache-tensor.ts'
import type { RotaryTables } from './rotary-tables.ts'

export interface OnnxRuntimeBlockInit {
  readonly session: InferenceSession
  readonly weightBytes: number
  readonly config: ModelConfig
  readonly rotary: RotaryTables
}

/** One block of the model in a runtime session of its own, which it frees. */
export function createOnnxRuntimeBlock(init: OnnxRuntimeBlockInit): LoadedBlock {
  return {
    weightBytes: init.weightBytes,
    createCache: (maxLength) => createBlockCache(init, maxLength),
    dispose: () => init.session.release(),
  }
}

function createBlockCache({ session, config, rotary }: OnnxRuntimeBlockInit, maxLength: number): BlockCache {
  let keys: CacheTensor | null = null
  let values: CacheTensor | null = null
  return {
    get bytes() {
      return (keys?.data.byteLength ?? 0) + (values?.data.byteLength ?? 0)
    },
    async forward(hidden, position) {
      const tokens = hidden.length / config.hiddenSize
      const total = position + tokens
      const capacity = capacityFor(total, maxLength)
      keys = growCacheTensor(keys, capacity, config)
      values = growCacheTensor(values, capacity, config)
      const { y, newKey, newValue } = await session.run({
        x: new Tensor('float32', hidden, [1, tokens, config.hiddenSize]),
        pastKey: keys,
        pastValue: values,
        position: scalar(position),
        lastPosition: scalar(total - 1),
        totalLength: scalar(total),
        positionAxis,
        ...rotary.upTo(total),
      })
      writeRows(keys, floatsOf(newKey), position)
      writeRows(values, floatsOf(newValue), position)
      return floatsOf(y)
    },
  }
}

const scalar = (value: number): Tensor => new Tensor('int32', Int32Array.of(value), [1])
/** The cache's axis along which positions lie. */
const positionAxis = scalar(2)

function floatsOf(tensor: Tensor | undefined): Float32Array {
  if (tensor?.type !== 'float32') throw new TypeError('the graph gave no float32 tensor')
  return tensor.data as Float32Array
}
