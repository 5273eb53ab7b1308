/**
 * What `require('@tensorflow/tfjs-node')` gives, without its native library: tensors are written when first used, and the
 * shape of a type goes through `util.isNullOrUndefined`, as in the package's own code.
 */
import util from 'node:util'
import { linear } from '#core/numerics/linear.ts'
import type { Tensor2D, TensorFlow } from '#engines/tfjs/tensorflow.ts'

interface FakeTensor extends Tensor2D {
  readonly values: Float32Array
}

export interface FakeAddon extends TensorFlow {
  /** Makes the next product fail as a GPU out of memory does. */
  failNext(message: string): void
}

export function createTensorFlowAddon({ usesGpu = false } = {}): FakeAddon {
  const tensors = new Set<FakeTensor>()
  const scopes: FakeTensor[][] = []
  let failure: string | null = null

  function create(values: Float32Array, shape: [number, number]): FakeTensor {
    if ((util as { isNullOrUndefined?: (value: unknown) => boolean }).isNullOrUndefined?.(values) !== false) {
      throw new TypeError('util_1.isNullOrUndefined is not a function')
    }
    if (values.length !== shape[0] * shape[1]) throw new Error(`Based on the provided shape, the tensor should have …`)
    const tensor: FakeTensor = {
      shape,
      values,
      dataSync: () => values.slice(),
      dispose: () => void tensors.delete(tensor),
    }
    tensors.add(tensor)
    scopes.at(-1)?.push(tensor)
    return tensor
  }

  return {
    getBackend: () => 'tensorflow',
    setBackend: async (name) => name === 'tensorflow',
    backend: () => ({ isUsingGpuDevice: usesGpu }),
    memory: () => ({
      numTensors: tensors.size,
      numBytes: [...tensors].reduce((sum, { values }) => sum + values.byteLength, 0),
    }),
    tidy(work) {
      const scope: FakeTensor[] = []
      scopes.push(scope)
      try {
        return work()
      } finally {
        scopes.pop()
        for (const tensor of scope) tensor.dispose()
      }
    },
    tensor2d: create,
    matMul(a, b) {
      if (failure !== null) {
        const message = failure
        failure = null
        throw new Error(message)
      }
      const [rows = 0, inner = 0] = a.shape
      const [, columns = 0] = b.shape
      const right = (b as FakeTensor).values
      const transposed = Float32Array.from(
        right,
        (_, i) => right[(i % inner) * columns + Math.floor(i / inner)] as number,
      )
      return create(Float32Array.from(linear((a as FakeTensor).values, transposed, inner)), [rows, columns])
    },
    failNext(message) {
      failure = message
    },
  }
}
