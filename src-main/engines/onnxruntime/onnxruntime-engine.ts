/**
 * The fast backend: onnxruntime's CPU kernels, float32, over graphs emitted in TypeScript. One runtime session a block,
 * so that any sub-span can be run and a block loaded or dropped alone (docs/decisions/0003 has the measurements).
 */

import { env } from 'onnxruntime-node'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { Engine, LoadOptions } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { createEmbeddingTable } from '../shared/embedding-table.ts'
import { checkThreads, type LoadBlock, loadBlocks } from '../shared/loaded-block.ts'
import { createModelEnds } from '../shared/model-ends.ts'
import { readBlockTensors, readStoredEnds } from '../shared/read-weights.ts'
import { createSpanRunner } from '../shared/span-runner.ts'
import { layOutBlock, placeBlockTensor } from './block-weights.ts'
import { blockGraph } from './llama-graphs.ts'
import { createOnnxRuntimeBlock } from './onnxruntime-block.ts'
import { loadOnnxRuntimeHead } from './onnxruntime-head.ts'
import { createRotaryTables } from './rotary-tables.ts'
import { createRuntimeSession } from './runtime-session.ts'

/** Runs block the thread that calls, one block and at most `tokensPerRun` tokens at a time. */
export function createOnnxRuntimeEngine(): Engine {
  return {
    numericsClass: {
      backend: 'onnxruntime-cpu',
      dtype: 'float32',
      kernelVersion: env.versions.node ?? env.versions.common,
      quantisation: 'none',
    },
    async loadSpan(model, span, options) {
      checkThreads(options)
      const { config } = model.manifest
      const blocks = await loadBlocks(config, span, options, createBlockLoader(model, config, options))
      return createSpanRunner(config, span, blocks)
    },
    async loadEnds(model, options) {
      checkThreads(options)
      const { config } = model.manifest
      const ends = await readStoredEnds(model, options)
      const head = await loadOnnxRuntimeHead(ends, config, options.threads)
      return createModelEnds(createEmbeddingTable(ends.embedding), head, config.hiddenSize)
    },
  }
}

/** All blocks have one shape, so they share the graph, the rotary tables and (while loading) the float32 staging memory. */
function createBlockLoader(model: ModelHandle, config: ModelConfig, options: LoadOptions): LoadBlock {
  const layout = layOutBlock(config)
  const graph = blockGraph(config, layout.weights)
  const rotary = createRotaryTables(config)
  const staging = new Float32Array(layout.bytes / Float32Array.BYTES_PER_ELEMENT)
  return async (index) => {
    for await (const tensor of readBlockTensors(model, index, options)) {
      placeBlockTensor(staging, layout, config, tensor)
    }
    const session = await createRuntimeSession(graph, staging, options.threads)
    return createOnnxRuntimeBlock({ session, weightBytes: layout.bytes, config, rotary })
  }
}
