/**
 * A whole engine out of matrix products: whatever multiplies with a block's weights, the rest of a block is computed here
 * by our kernels, the same way for every backend.
 */

import { tensorNames } from '#contracts/model/manifest.ts'
import { type Span, spanLength } from '#contracts/span.ts'
import type { Engine, LoadOptions } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { createWorkspace, type Workspace } from '../kernels/workspace.ts'
import { checkFormat, checkLoad, checkSpan } from '../shared/check-load.ts'
import { createEmbeddingTable } from '../shared/embedding-table.ts'
import type { LinearBackend, LinearOptions } from '../shared/linear-backend.ts'
import { createModelEnds } from '../shared/model-ends.ts'
import { decodeWeights, readStored } from '../shared/read-weights.ts'
import type { Block } from './block-forward.ts'
import { loadBlockVectors } from './block-vectors.ts'
import { createSpanBackward } from './span-backward.ts'
import { createSpanRunner } from './span-runner.ts'

export function createBlockEngine(backend: LinearBackend): Engine {
  return {
    backend: backend.backend,
    formats: backend.formats,
    numericsClass(format) {
      checkFormat(backend, format)
      return backend.numericsClass(format)
    },
    async loadSpan(model, span, options) {
      const linear = linearOptions(backend, options)
      const { config } = model.manifest
      checkSpan(config, span)
      const workspace = createWorkspace()
      const blocks = await loadBlocks(backend, workspace, model, span, linear, options.onProgress)
      return createSpanRunner({
        config,
        span,
        numericsClass: backend.numericsClass(linear.format),
        workspace,
        blocks,
        backward: createSpanBackward({ config, workspace, blocks, threads: linear.threads }),
      })
    },
    async loadEnds(model, options) {
      const linear = linearOptions(backend, options)
      const { config } = model.manifest
      const table = [config.vocabularySize, config.hiddenSize]
      const embedding = await readStored(model, tensorNames.embedding, table, linear)
      const finalNorm = await readStored(model, tensorNames.finalNorm, [config.hiddenSize], linear)
      return createModelEnds({
        config,
        numericsClass: backend.numericsClass(linear.format),
        embedding: createEmbeddingTable(embedding),
        finalNorm: decodeWeights(finalNorm),
        head: await backend.loadHead(model, linear),
      })
    },
  }
}

function linearOptions(backend: LinearBackend, options: LoadOptions): LinearOptions {
  const { threads, signal } = options
  return { threads, format: checkLoad(backend, options), ...(signal && { signal }) }
}

/** In order; when one fails or the signal fires, those loaded are freed again. */
async function loadBlocks(
  backend: LinearBackend,
  workspace: Workspace,
  model: ModelHandle,
  span: Span,
  options: LinearOptions,
  onProgress: LoadOptions['onProgress'],
): Promise<Block[]> {
  const blocks: Block[] = []
  try {
    for (let index = span.start; index < span.end; index++) {
      options.signal?.throwIfAborted()
      const vectors = await loadBlockVectors(workspace, model, index, options)
      blocks.push({ index, vectors, products: await backend.loadBlock(model, index, options) })
      onProgress?.({ blocksLoaded: blocks.length, blocksTotal: spanLength(span) })
    }
    return blocks
  } catch (error) {
    await Promise.all(blocks.map(({ products }) => products.dispose()))
    throw error
  }
}
