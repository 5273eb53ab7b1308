/**
 * onnxruntime's GPU kernels, over the graphs of the CPU's backend. A block's weights live in the GPU's memory; hidden states
 * go there and back in every call, so `finish` (three products, one way) is what makes it worth while.
 */
import { env, type InferenceSession } from 'onnxruntime-node'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle, StoredTensor } from '#core/ports/model-store.ts'
import type { PreparedFile, WeightCache } from '#core/ports/weight-cache.ts'
import { numericsOf } from '../onnxruntime/matrix-format.ts'
import { blockGraph, layOutBlock, layOutHead, productGraph } from '../onnxruntime/part-graphs.ts'
import { type PartLayout, type PartSource, writePart } from '../onnxruntime/weight-file.ts'
import {
  type BlockProduct,
  type BlockProducts,
  blockProducts,
  type LinearBackend,
  type LinearOptions,
} from '../shared/linear-backend.ts'
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

  function prepare(
    model: ModelHandle,
    { part, format, layout, source }: Part,
    { signal }: LinearOptions,
  ): Promise<PreparedFile> {
    const key = { modelDigest: model.manifest.digest, part, layout: `gpu-${format}-v${layoutVersion}` }
    return weightCache.prepare(key, (append) => writePart(layout, source, append), signal ? { signal } : {})
  }

  async function openProducts(config: ModelConfig, layout: PartLayout, file: PreparedFile): Promise<BlockProducts> {
    const part = { backend, layout, file }
    if (takesNoRows) {
      return createJointProducts(part, await createGpuSession(provider, blockGraph(config, layout), file.path))
    }
    const sessions = new Map<BlockProduct, InferenceSession>()
    try {
      for (const product of blockProducts) {
        sessions.set(product, await createGpuSession(provider, productGraph(layout, product), file.path))
      }
      return createSeparateProducts(part, sessions)
    } catch (error) {
      await Promise.all([...sessions.values()].map((session) => session.release()))
      throw error
    }
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
    async loadBlock(model, index, options) {
      const { config } = model.manifest
      const { format } = options
      const layout = layOutBlock(config, format)
      const source: PartSource = (product) => readRoles(model, index, productRoles[product as BlockProduct], options)
      const file = await prepare(model, { part: `block-${index}`, format, layout, source }, options)
      try {
        return await openProducts(config, layout, file)
      } catch (error) {
        await file.release()
        throw error
      }
    },
    async loadHead(model, options) {
      const stored = await readHeadMatrix(model, options)
      const format = headFormat(options.format, stored)
      const layout = layOutHead(model.manifest.config, format)
      const source: PartSource = async function* () {
        yield stored
      }
      const file = await prepare(model, { part: 'head', format, layout, source }, options)
      try {
        return createGpuHead(backend, layout, await createGpuSession(provider, productGraph(layout, 'head'), file.path))
      } finally {
        await file.release()
      }
    },
  }
}

interface Part {
  readonly part: string
  readonly format: WeightFormat
  readonly layout: PartLayout
  readonly source: PartSource
}

/** As on the CPU: four bits for the head only where the model's file has no more than that. */
function headFormat(format: WeightFormat, { dtype }: StoredTensor): WeightFormat {
  return format === 'int4' && dtype !== 'Q4_0' ? 'int8' : format
}
