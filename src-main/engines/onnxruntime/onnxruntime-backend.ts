/**
 * The fast backend: onnxruntime's CPU kernels, over graphs emitted in TypeScript. One runtime session a block, so that a
 * block can be loaded and dropped alone (docs/decisions/0003 has the measurements).
 */
import { env, type InferenceSession, Tensor } from 'onnxruntime-node'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import type { PreparedFile, WeightCache } from '#core/ports/weight-cache.ts'
import {
  type BlockProduct,
  type BlockProducts,
  blockProducts,
  type HeadProduct,
  type LinearBackend,
  type LinearOptions,
} from '../shared/linear-backend.ts'
import { productRoles, readHeadMatrix, readRoles } from '../shared/product-tensors.ts'
import { numericsOf, weightFormats } from './matrix-format.ts'
import { blockGraph, inputOf, layOutBlock, layOutHead, outputOf, productGraph } from './part-graphs.ts'
import { createRuntimeSession } from './runtime-session.ts'
import { type PartLayout, type PartSource, readMatrix, writePart } from './weight-file.ts'

/** Changes when prepared files of older versions no longer fit. */
const layoutVersion = 1

/** Calls block the thread; each product by itself. */
export function createOnnxruntimeBackend({ weightCache }: { weightCache: WeightCache }): LinearBackend {
  function prepare(
    model: ModelHandle,
    { part, format, layout, source }: Part,
    { signal }: LinearOptions,
  ): Promise<PreparedFile> {
    const key = { modelDigest: model.manifest.digest, part, layout: `${format}-v${layoutVersion}` }
    return weightCache.prepare(key, (append) => writePart(layout, source, append), signal ? { signal } : {})
  }

  return {
    backend: 'onnxruntime-cpu',
    formats: weightFormats,
    numericsClass: (format) => ({
      backend: 'onnxruntime-cpu',
      kernelVersion: env.versions.node ?? env.versions.common,
      ...numericsOf(format),
    }),
    async loadBlock(model, index, options) {
      const layout = layOutBlock(model.manifest.config, options.format)
      const source: PartSource = (product) => readRoles(model, index, productRoles[product as BlockProduct], options)
      const part = { part: `block-${index}`, format: options.format, layout, source }
      const file = await prepare(model, part, options)
      try {
        const sessions = await openBlock(model.manifest.config, layout, file, options)
        return createBlockProducts(layout, sessions, file)
      } catch (error) {
        await file.release()
        throw error
      }
    },
    async loadHead(model, options) {
      const format = headFormat(options.format, model)
      const layout = layOutHead(model.manifest.config, format)
      const source: PartSource = async function* () {
        yield await readHeadMatrix(model, options)
      }
      const file = await prepare(model, { part: 'head', format, layout, source }, options)
      try {
        const session = await createRuntimeSession(
          productGraph(layout, 'head'),
          file.path,
          usefulThreads(layout, options),
        )
        return createHeadProduct(layout, session)
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

/** One session for all products; four for float16, whose casts would run whether or not their product is wanted. */
async function openBlock(
  config: ModelConfig,
  layout: PartLayout,
  { path }: PreparedFile,
  options: LinearOptions,
): Promise<ReadonlyMap<BlockProduct, InferenceSession>> {
  const sessions = new Map<BlockProduct, InferenceSession>()
  const threads = usefulThreads(layout, options)
  try {
    if (options.format !== 'float16') {
      const session = await createRuntimeSession(blockGraph(config, layout), path, threads)
      return new Map(blockProducts.map((product) => [product, session]))
    }
    for (const product of blockProducts) {
      sessions.set(product, await createRuntimeSession(productGraph(layout, product), path, threads))
    }
    return sessions
  } catch (error) {
    await release(sessions.values())
    throw error
  }
}

/** Waking a second thread takes longer than reading this many bytes of weights with one. */
const bytesForThreads = 4 * 1024 ** 2

function usefulThreads({ byteLength }: PartLayout, { threads }: LinearOptions): number {
  return byteLength < bytesForThreads ? 1 : threads
}

/** The head decides between close candidates: four bits only where the model's file has no more than that. */
function headFormat(format: WeightFormat, { manifest: { config, tensors } }: ModelHandle): WeightFormat {
  const name = config.tiedHead ? tensorNames.embedding : tensorNames.head
  const stored = tensors.find((tensor) => tensor.name === name)
  return format === 'int4' && stored?.dtype !== 'Q4_0' ? 'int8' : format
}

/** Keeps `file` for gradients, which want the weights as floats; frees sessions and file when disposed. */
function createBlockProducts(
  layout: PartLayout,
  sessions: ReadonlyMap<BlockProduct, InferenceSession>,
  file: PreparedFile,
): BlockProducts {
  const joint = new Set(sessions.values()).size === 1 ? sessions.get('output') : undefined
  const widths = Object.fromEntries(layout.matrices.map(({ name, columns }) => [inputOf(name), columns]))
  const finishWidths = { attended: widths[inputOf('output')] ?? 0, residual: rowsOf(layout, 'output') }
  const noGain = new Tensor('float32', new Float32Array(finishWidths.residual), [finishWidths.residual])
  const nothing = joint ? { ...noRows({ ...widths, ...finishWidths }), gain: noGain } : {}

  const products: BlockProducts = {
    weightBytes: layout.byteLength,
    async run(product, x) {
      const session = sessions.get(product)
      if (!session) throw new RangeError(`no product ${product}`)
      const width = widths[inputOf(product)] ?? 1
      const feeds = { ...nothing, [inputOf(product)]: matrix(paired(x, width), width) }
      const output = floatsOf(await session.run(feeds, [outputOf(product)]), outputOf(product))
      return output.subarray(0, (x.length / width) * rowsOf(layout, product))
    },
    floats: (product) => readMatrix(file.path, layout, product),
    async dispose() {
      await release(sessions.values())
      await file.release()
    },
  }
  if (!joint) return products
  return {
    ...products,
    async finish(attended, residual, gain) {
      const feeds = {
        ...nothing,
        attended: matrix(paired(attended, finishWidths.attended), finishWidths.attended),
        residual: matrix(paired(residual, finishWidths.residual), finishWidths.residual),
        gain: new Tensor('float32', gain, [gain.length]),
      }
      return floatsOf(await joint.run(feeds, ['finished']), 'finished').subarray(0, residual.length)
    },
  }
}

function createHeadProduct(layout: PartLayout, session: InferenceSession): HeadProduct {
  const columns = layout.matrices[0]?.columns ?? 1
  return {
    weightBytes: layout.byteLength,
    async run(x) {
      const outputs = await session.run({ [inputOf('head')]: matrix(paired(x, columns), columns) }, [outputOf('head')])
      return floatsOf(outputs, outputOf('head')).subarray(0, (x.length / columns) * rowsOf(layout, 'head'))
    },
    dispose: () => release([session]),
  }
}

async function release(sessions: Iterable<InferenceSession>): Promise<void> {
  await Promise.all([...new Set(sessions)].map((session) => session.release()))
}

/**
 * `x` with a row of zeros more where it has an odd number of rows. The int8 kernels take rows by twos and a single last one in
 * another order of adding up; with this, a row comes out the same to the bit whatever rows come with it.
 */
function paired(x: Float32Array, columns: number): Float32Array {
  if ((x.length / columns) % 2 === 0) return x
  const padded = new Float32Array(x.length + columns)
  padded.set(x)
  return padded
}

const matrix = (x: Float32Array, columns: number): Tensor => new Tensor('float32', x, [x.length / columns, columns])

function noRows(widths: Readonly<Record<string, number>>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(widths).map(([name, width]) => [name, new Tensor('float32', [], [0, width])]),
  )
}

function rowsOf(layout: PartLayout, name: string): number {
  return layout.matrices.find((candidate) => candidate.name === name)?.rows ?? 0
}

function floatsOf(outputs: InferenceSession.ReturnType, name: string): Float32Array {
  const tensor = outputs[name]
  if (tensor?.type !== 'float32') throw new TypeError(`the graph gave no float32 ${name}`)
  return tensor.data as Float32Array
}
