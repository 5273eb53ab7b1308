/**
 * The engine that is slow and readable: the port over `core/numerics`, in float64. It runs any model this version can
 * read, and the fast engines are tested against it.
 */
import { type Span, spanLength } from '#contracts/span.ts'
import type { BlockWeights } from '#core/numerics/block.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import type { Floats } from '#core/numerics/floats.ts'
import { linear } from '#core/numerics/linear.ts'
import type { Engine, LoadOptions, NumericsClass } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { checkFormat, checkLoad, checkSpan } from '../shared/check-load.ts'
import { createEmbeddingTable } from '../shared/embedding-table.ts'
import type { HeadProduct } from '../shared/linear-backend.ts'
import { createModelEnds } from '../shared/model-ends.ts'
import { readBlockWeights, readStoredEnds } from '../shared/read-weights.ts'
import { yieldTurn } from './reference-backward.ts'
import { createReferenceRunner } from './reference-runner.ts'

const reference = { backend: 'reference', formats: ['float32'] } as const

const numericsClass: NumericsClass = {
  backend: reference.backend,
  kernelVersion: '2',
  weights: 'float32',
  weightGroup: null,
  activations: 'float32',
}

/** Computes on the calling thread, whatever number of threads is asked for. */
export function createReferenceEngine(): Engine {
  return {
    ...reference,
    numericsClass(format) {
      checkFormat(reference, format)
      return numericsClass
    },
    async loadSpan(model, span, options) {
      checkLoad(reference, options)
      const { config } = model.manifest
      checkSpan(config, span)
      return createReferenceRunner({ config, span, blocks: await readBlocks(model, span, options), numericsClass })
    },
    async loadEnds(model, options) {
      checkLoad(reference, options)
      const { embedding, finalNorm, head } = await readStoredEnds(model, options)
      return createModelEnds({
        config: model.manifest.config,
        numericsClass,
        embedding: createEmbeddingTable(embedding),
        finalNorm: decodeFloats(finalNorm.dtype, finalNorm.bytes),
        head: createReferenceHead(decodeFloats(head.dtype, head.bytes), model.manifest.config.hiddenSize),
      })
    },
  }
}

async function readBlocks(
  model: ModelHandle,
  span: Span,
  { signal, onProgress }: LoadOptions,
): Promise<BlockWeights[]> {
  const blocks: BlockWeights[] = []
  for (let index = span.start; index < span.end; index++) {
    signal?.throwIfAborted()
    blocks.push(await readBlockWeights(model, index, signal ? { signal } : {}))
    onProgress?.({ blocksLoaded: blocks.length, blocksTotal: spanLength(span) })
  }
  return blocks
}

/** `weight`: (vocabulary, hidden) */
function createReferenceHead(weight: Floats, hiddenSize: number): HeadProduct {
  return {
    weightBytes: weight.byteLength,
    async run(x) {
      await yieldTurn(undefined)
      return Float32Array.from(linear(x, weight, hiddenSize))
    },
    async dispose() {},
  }
}
