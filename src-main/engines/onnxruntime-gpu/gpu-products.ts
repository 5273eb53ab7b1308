/** A block's products in runtime sessions on a GPU: one session for all of them, or one each. */
import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { EngineFailedError } from '#core/errors.ts'
import type { PreparedFile } from '#core/ports/weight-cache.ts'
import { inputOf, outputOf } from '../onnxruntime/part-graphs.ts'
import { type PartLayout, readMatrix } from '../onnxruntime/weight-file.ts'
import type { BlockProduct, BlockProducts, HeadProduct } from '../shared/linear-backend.ts'
import { firstLine } from './gpu-session.ts'

/** A call's inputs by name. */
type Inputs = Readonly<Record<string, Tensor>>

export interface PartInMemory {
  readonly backend: string
  readonly layout: PartLayout
  /** The prepared weights, kept for gradients, which want them as floats. */
  readonly file: PreparedFile
}

/** One session for the whole block's graph: what a call does not want is given inputs of no rows. */
export function createJointProducts(part: PartInMemory, session: InferenceSession): BlockProducts {
  const { backend, layout, file } = part
  const attendedSize = columnsOf(layout, 'output')
  const hiddenSize = layout.matrices.find(({ name }) => name === 'output')?.rows ?? 0
  const none = new Float32Array(0)
  const nothing: Inputs = {
    ...Object.fromEntries(layout.matrices.map(({ name, columns }) => [inputOf(name), rows(none, columns)])),
    attended: rows(none, attendedSize),
    residual: rows(none, hiddenSize),
    gain: vector(new Float32Array(hiddenSize)),
  }
  const run = (inputs: Inputs, output: string) => runSession(backend, session, { ...nothing, ...inputs }, output)
  return {
    weightBytes: layout.byteLength,
    run: (product, x) => run({ [inputOf(product)]: rows(x, columnsOf(layout, product)) }, outputOf(product)),
    finish: (attended, residual, gain) =>
      run(
        { attended: rows(attended, attendedSize), residual: rows(residual, hiddenSize), gain: vector(gain) },
        'finished',
      ),
    floats: (product) => readMatrix(file.path, layout, product),
    async dispose() {
      await session.release()
      await file.release()
    },
  }
}

export function createSeparateProducts(
  { backend, layout, file }: PartInMemory,
  sessions: ReadonlyMap<BlockProduct, InferenceSession>,
): BlockProducts {
  return {
    weightBytes: layout.byteLength,
    async run(product, x) {
      const session = sessions.get(product)
      if (session === undefined) throw new RangeError(`no product ${product}`)
      const inputs = { [inputOf(product)]: rows(x, columnsOf(layout, product)) }
      return await runSession(backend, session, inputs, outputOf(product))
    },
    floats: (product) => readMatrix(file.path, layout, product),
    async dispose() {
      await Promise.all([...sessions.values()].map((session) => session.release()))
      await file.release()
    },
  }
}

export function createGpuHead(backend: string, layout: PartLayout, session: InferenceSession): HeadProduct {
  return {
    weightBytes: layout.byteLength,
    run: (x) =>
      runSession(backend, session, { [inputOf('head')]: rows(x, columnsOf(layout, 'head')) }, outputOf('head')),
    dispose: () => session.release(),
  }
}

async function runSession(
  backend: string,
  session: InferenceSession,
  inputs: Inputs,
  output: string,
): Promise<Float32Array> {
  try {
    const outputs = await session.run(inputs, [output])
    return outputs[output]?.data as Float32Array
  } catch (cause) {
    throw new EngineFailedError(backend, firstLine(cause), { cause })
  }
}

function columnsOf(layout: PartLayout, name: string): number {
  return layout.matrices.find((matrix) => matrix.name === name)?.columns ?? 0
}

const rows = (x: Float32Array, width: number): Tensor => new Tensor('float32', x, [x.length / width, width])
const vector = (x: Float32Array): Tensor => new Tensor('float32', x, [x.length])
