import { type InferenceSession, Tensor } from 'onnxruntime-node'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { BlockCache, LoadedBlock } from '../shared/loaded-block.ts'
import { type CacheTensor, capacityFor, growCacheTensor } from './cache-tensor.ts'
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
      const shape = [1, tokens, config.hiddenSize]
      const output = new Float32Array(hidden.length)
      // Present and past are one buffer: the kernel writes the new rows in place and copies none of the old.
      await session.run(
        {
          x: new Tensor('float32', hidden, shape),
          pastKey: keys,
          pastValue: values,
          lastPosition: new Tensor('int32', Int32Array.of(total - 1), [1]),
          totalLength: new Tensor('int32', Int32Array.of(total), [1]),
          ...rotary.upTo(total),
        },
        { y: new Tensor('float32', output, shape), presentKey: keys, presentValue: values },
      )
      return output
    },
  }
}
