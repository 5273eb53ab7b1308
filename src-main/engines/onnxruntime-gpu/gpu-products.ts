/** A block's products in runtime sessions on a GPU: one session for all of them, or one each. */
import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { EngineFailedError } from '#core/errors.ts'
import { inputOf, outputOf } from '../onnxruntime/part-graphs.ts'
import type { PartLayout } from '../onnxruntime/weight-file.ts'
import type { BlockProduct, BlockProducts, HeadProduct } from '../shared/linear-backend.ts'
import { firstLine } from './gpu-session.ts'

/** Rows of each input by its name. */
type Inputs = Readonly<Record<string, Float32Array>>

/** One session for the whole block's graph: what a call does not want is given inputs of no rows. */
export function createJointProducts(backend: string, layout: PartLayout, session: InferenceSession): BlockProducts {
  const widths: Record<string, number> = Object.fromEntries(
    layout.matrices.map(({ name, columns }) => [inputOf(name), columns]),
  )
  widths['attended'] = widths[inputOf('output')] ?? 0
  widths['residual'] = layout.matrices.find(({ name }) => name === 'output')?.rows ?? 0
  const nothing = Object.fromEntries(Object.entries(widths).map(([name, width]) => [name, rows([], width)]))
  const run = createRun(backend, session, widths, nothing)
  return {
    weightBytes: layout.byteLength,
    run: (product, x) => run({ [inputOf(product)]: x }, outputOf(product)),
    finish: (attended, residual) => run({ attended, residual }, 'finished'),
    dispose: () => session.release(),
  }
}

export function createSeparateProducts(
  backend: string,
  layout: PartLayout,
  sessions: ReadonlyMap<BlockProduct, InferenceSession>,
): BlockProducts {
  const heads = new Map(
    [...sessions].map(([product, session]) => [product, createGpuHead(backend, layout, session, product)]),
  )
  return {
    weightBytes: layout.byteLength,
    async run(product, x) {
      const head = heads.get(product)
      if (head === undefined) throw new RangeError(`no product ${product}`)
      return await head.run(x)
    },
    async dispose() {
      await Promise.all([...heads.values()].map((head) => head.dispose()))
    },
  }
}

/** A single product by its name in `layout`; the head is one. */
export function createGpuHead(
  backend: string,
  layout: PartLayout,
  session: InferenceSession,
  name = 'head',
): HeadProduct {
  const columns = layout.matrices.find((matrix) => matrix.name === name)?.columns ?? 0
  const run = createRun(backend, session, { [inputOf(name)]: columns }, {})
  return {
    weightBytes: layout.byteLength,
    run: (x) => run({ [inputOf(name)]: x }, outputOf(name)),
    dispose: () => session.release(),
  }
}

function createRun(
  backend: string,
  session: InferenceSession,
  widths: Readonly<Record<string, number>>,
  nothing: Readonly<Record<string, Tensor>>,
) {
  return async (inputs: Inputs, output: string): Promise<Float32Array> => {
    const given = Object.entries(inputs).map(([name, x]) => [name, rows(x, widths[name] ?? 0)] as const)
    try {
      const outputs = await session.run({ ...nothing, ...Object.fromEntries(given) }, [output])
      return outputs[output]?.data as Float32Array
    } catch (cause) {
      throw new EngineFailedError(backend, firstLine(cause), { cause })
    }
  }
}

function rows(x: Float32Array | readonly number[], width: number): Tensor {
  return new Tensor('float32', x, [x.length / width, width])
}
