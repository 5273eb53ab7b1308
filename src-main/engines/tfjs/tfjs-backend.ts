/**
 * TensorFlow.js as a backend: its WASM kernels, which run everywhere; TensorFlow's own library; and that library on CUDA.
 * Weights are float32 alone: TensorFlow.js has no 16-bit floats and no products with packed integers, so smaller forms would
 * be widened in every call. Matrices are kept transposed: its transposing product takes a path several times slower
 * (docs/decisions/0010).
 */
import { createRequire } from 'node:module'
import { blockShapes } from '#core/numerics/block.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import {
  type BlockProduct,
  type BlockProducts,
  blockProducts,
  type LinearBackend,
  type LinearOptions,
} from '../shared/linear-backend.ts'
import { productRoles, readHeadMatrix, readRoles } from '../shared/product-tensors.ts'
import { startNode } from './start-node.ts'
import { startWasm } from './start-wasm.ts'
import type { StartedTensorFlow } from './tensorflow.ts'
import { createTfjsProduct, type TfjsProduct } from './tfjs-product.ts'
import { type TransposedMatrix, transposePieces } from './transposed-matrix.ts'

export const tfjsPlatforms = ['wasm', 'node', 'gpu'] as const
export type TfjsPlatform = (typeof tfjsPlatforms)[number]

export const tfjsBackendNames = { wasm: 'tfjs-wasm', node: 'tfjs-node', gpu: 'tfjs-cuda' } as const

export const tfjsFormats: readonly WeightFormat[] = ['float32']

/**
 * TensorFlow.js is loaded with the first weights; throws `EngineFailedError` then when it is not there. Calls block the
 * thread; `threads` is TensorFlow's own affair (one on WASM).
 */
export function createTfjsBackend(
  platform: TfjsPlatform,
  start: () => Promise<StartedTensorFlow> = () => (platform === 'wasm' ? startWasm() : startNode(platform)),
): LinearBackend {
  const backend = tfjsBackendNames[platform]
  return {
    backend,
    formats: tfjsFormats,
    numericsClass(format) {
      checkFormat(backend, format)
      return { backend, kernelVersion: kernelVersion(), weights: format, weightGroup: null, activations: 'float32' }
    },
    async loadBlock(model, index, options) {
      checkFormat(backend, options.format)
      const started = await start()
      return await loadProducts(async (product) =>
        createTfjsProduct(backend, started, await readProduct(model, index, product, options)),
      )
    },
    async loadHead(model, options) {
      checkFormat(backend, options.format)
      const { hiddenSize, vocabularySize } = model.manifest.config
      const started = await start()
      const pieces = (async function* () {
        yield await readHeadMatrix(model, options)
      })()
      return createTfjsProduct(backend, started, await transposePieces(pieces, hiddenSize, vocabularySize))
    },
  }
}

/** All packages are pinned to one version, so the core's is that of the kernels. */
function kernelVersion(): string {
  const { version } = createRequire(import.meta.url)('@tensorflow/tfjs-core/package.json') as { version: string }
  return version
}

function checkFormat(backend: string, format: WeightFormat): void {
  if (!tfjsFormats.includes(format)) throw new RangeError(`${backend} holds weights as float32, not ${format}`)
}

async function loadProducts(load: (product: BlockProduct) => Promise<TfjsProduct>): Promise<BlockProducts> {
  const products = new Map<BlockProduct, TfjsProduct>()
  const dispose = async () => {
    await Promise.all([...products.values()].map((product) => product.dispose()))
  }
  try {
    for (const product of blockProducts) products.set(product, await load(product))
  } catch (error) {
    await dispose()
    throw error
  }
  const find = (product: BlockProduct): TfjsProduct => {
    const found = products.get(product)
    if (found === undefined) throw new RangeError(`no product ${product}`)
    return found
  }
  return {
    weightBytes: [...products.values()].reduce((sum, { weightBytes }) => sum + weightBytes, 0),
    run: async (product, x) => await find(product).run(x),
    floats: async (product) => find(product).floats(),
    dispose,
  }
}

function readProduct(
  model: ModelHandle,
  index: number,
  product: BlockProduct,
  options: LinearOptions,
): Promise<TransposedMatrix> {
  const roles = productRoles[product]
  const shapes = roles.map((role) => blockShapes(model.manifest.config)[role] ?? [])
  const outputSize = shapes.reduce((sum, [rows = 0]) => sum + rows, 0)
  return transposePieces(readRoles(model, index, roles, options), shapes[0]?.[1] ?? 0, outputSize)
}
