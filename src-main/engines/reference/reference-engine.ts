/**
 * The engine that is slow and readable: the port over `core/numerics`. It runs any model this version can read, where the
 * fast backend cannot be loaded, and the fast backend is tested against it.
 */
import { setImmediate } from 'node:timers/promises'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { type BlockWeights, blockForward } from '#core/numerics/block.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import type { Floats } from '#core/numerics/floats.ts'
import { createKeyValueCache } from '#core/numerics/key-value-cache.ts'
import { logitsOf } from '#core/numerics/model.ts'
import type { Engine } from '#core/ports/engine.ts'
import { createEmbeddingTable } from '../shared/embedding-table.ts'
import { checkThreads, type LoadedBlock, loadBlocks } from '../shared/loaded-block.ts'
import { EngineMisuseError } from '../shared/misuse.ts'
import { createModelEnds, type LoadedHead } from '../shared/model-ends.ts'
import { readBlockWeights, readStoredEnds } from '../shared/read-weights.ts'
import { createSpanRunner } from '../shared/span-runner.ts'

/** Computes on the calling thread, whatever number of threads is asked for. */
export function createReferenceEngine(): Engine {
  return {
    numericsClass: { backend: 'reference', dtype: 'float32', kernelVersion: '1', quantisation: 'none' },
    async loadSpan(model, span, options) {
      checkThreads(options)
      const { config } = model.manifest
      const blocks = await loadBlocks(config, span, options, async (index) =>
        createReferenceBlock(await readBlockWeights(model, index, options), config),
      )
      return createSpanRunner(config, span, blocks)
    },
    async loadEnds(model, options) {
      checkThreads(options)
      const { embedding, finalNorm, head } = await readStoredEnds(model, options)
      const weights = {
        finalNorm: decodeFloats(finalNorm.dtype, finalNorm.bytes),
        head: decodeFloats(head.dtype, head.bytes),
      }
      const { config } = model.manifest
      return createModelEnds(createEmbeddingTable(embedding), createReferenceHead(weights, config), config.hiddenSize)
    },
  }
}

function createReferenceBlock(weights: BlockWeights, config: ModelConfig): LoadedBlock {
  let held: BlockWeights | null = weights
  return {
    weightBytes: Object.values(weights).reduce((sum, tensor) => sum + tensor.byteLength, 0),
    createCache() {
      const cache = createKeyValueCache()
      return {
        get bytes() {
          return cache.keys.byteLength + cache.values.byteLength
        },
        async forward(hidden, position) {
          await setImmediate()
          if (!held) throw new EngineMisuseError('the block is disposed')
          cache.length = position
          return Float32Array.from(blockForward(hidden, held, cache, config))
        },
      }
    },
    async dispose() {
      held = null
    },
  }
}

function createReferenceHead(weights: { finalNorm: Floats; head: Floats }, config: ModelConfig): LoadedHead {
  return {
    weightBytes: weights.finalNorm.byteLength + weights.head.byteLength,
    async forward(hidden) {
      await setImmediate()
      return Float32Array.from(logitsOf(hidden, weights, config))
    },
    async dispose() {},
  }
}
