/**
 * onnxruntime's GPU kernels, over the graphs of the CPU's backend. A block's weights live in the GPU's memory; hidden states
 * go there and back in every call, so `finish` (three products, one way) is what makes it worth while.
 */
import { env, type InferenceSession } from 'onnxruntime-node'
import type { WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import type { WeightCache } from '#core/ports/weight-cache.ts'
import { numericsOf } from '../onnxruntime/matrix-format.ts'
import { blockGraph, layOutBlock, layOutHead, productGraph } from '../onnxruntime/part-graphs.ts'
import { type PartLayout, type PartSource, writePart } from '../onnxruntime/weight-file.ts'
import { type BlockProduct, blockProducts, type LinearBackend, type LinearOptions } from '../shared/linear-backend.ts'
import { productRoles, readHeadMatrix, readRoles } from '../shared/product-tensors.ts'
import { createGpuHead, createJointProducts, createSeparateProducts } from './gpu-products.ts'
import { createGpuSession } from './gpu-session.ts'
import { type GpuProvider, providerTraits } from './providers.ts'

/** Changes when prepared files of older versions no longer fit. */
const layoutVersion = 1

/** Loading and running throw `EngineFailedError` when the provider or its driver fails. */
export function createOnnxruntimeGpuBackend(
  { weightCache }: { readonly weightCache: WeightCache },
  provider: GpuProvider,
): LinearBackend {
  const { backend, formats, takesNoRows } = providerTraits[provider]

  async function withWeights<Result>(
    { model, part, format }: { model: ModelHandle; part: string; format: WeightFormat },
    layout: PartLayout,
    source: PartSource,
    use: (path: string) => Promise<Result>,
  ): Promise<Result> {
    const key = { modelDigest: model.manifest.digest, part, layout: `gpu-${format}-v${layoutVersion}` }
    const file = await weightCache.prepare(key, (append) => writePart(layout, source, append))
    try {
      return await use(file.path)
    } finally {
      await file.release()
    }
  }

  async function createSeparateSessions(layout: PartLayout, path: string) {
    const sessions = new Map<BlockProduct, InferenceSession>()
    try {
      for (const product of blockProducts) {
        sessions.set(product, await createGpuSession(provider, productGraph(layout, product), path))
      }
    } catch (error) {
      await Promise.all([...sessions.values()].map((session) => session.release()))
      throw error
    }
    return sessions
  }

  return {
    backend,
    formats,
    numericsClass: (format) => ({
      backend,
      kernelVersion: env.versions.node ?? env.versions.common,
      ...numericsOf(format),
      activations: 'float32',
    }),
    loadBlock(model, index, options) {
      const { config } = model.manifest
      const layout = layOutBlock(config, options.format)
      const part = { model, part: `block-${index}`, format: options.format }
      return withWeights(part, layout, blockSource(model, index, options), async (path) =>
        takesNoRows
          ? createJointProducts(backend, layout, await createGpuSession(provider, blockGraph(config, layout), path))
          : createSeparateProducts(backend, layout, await createSeparateSessions(layout, path)),
      )
    },
    async loadHead(model, options) {
      const { config } = model.manifest
      const layout = layOutHead(config, options.format)
      const part = { model, part: 'head', format: options.format }
      return await withWeights(part, layout, headSource(model, options), async (path) =>
        createGpuHead(backend, layout, await createGpuSession(provider, productGraph(layout, 'head'), path)),
      )
    },
  }
}

function blockSource(model: ModelHandle, index: number, options: LinearOptions): PartSource {
  return (part) => {
    const product = blockProducts.find((candidate) => candidate === part)
    return readRoles(model, index, product ? productRoles[product] : ['feedForwardNorm'], options)
  }
}

function headSource(model: ModelHandle, options: LinearOptions): PartSource {
  return async function* () {
    yield await readHeadMatrix(model, options)
  }
}
