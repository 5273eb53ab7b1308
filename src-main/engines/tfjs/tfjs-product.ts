import { EngineFailedError } from '#core/errors.ts'
import type { HeadProduct } from '../shared/linear-backend.ts'
import type { StartedTensorFlow } from './tensorflow.ts'
import { type TransposedMatrix, transposeBack } from './transposed-matrix.ts'

export interface TfjsProduct extends HeadProduct {
  /** What it multiplies with, (out, in). */
  floats(): Float32Array
}

/**
 * One matrix in TensorFlow.js's memory. Throws `EngineFailedError` when it does not fit. A first product is computed here:
 * some backends take the weights only then, and loading is when it should fail and cost time.
 */
export function createTfjsProduct(backend: string, started: StartedTensorFlow, matrix: TransposedMatrix): TfjsProduct {
  const { tf } = started
  const { values, inputSize, outputSize } = matrix
  useBackend(started)
  checkRoom(backend, started, values.byteLength)
  const weightBytes = values.byteLength
  const weights = tf.tensor2d(values, [inputSize, outputSize])

  function multiply(x: Float32Array): Float32Array {
    useBackend(started)
    try {
      return tf.tidy(() => tf.matMul(tf.tensor2d(x, [x.length / inputSize, inputSize]), weights).dataSync())
    } catch (cause) {
      throw new EngineFailedError(backend, cause instanceof Error ? cause.message : String(cause), { cause })
    }
  }

  try {
    multiply(new Float32Array(inputSize))
  } catch (error) {
    weights.dispose()
    throw error
  }
  let disposed = false
  return {
    weightBytes,
    async run(x) {
      return multiply(x)
    },
    floats() {
      useBackend(started)
      return transposeBack(weights.dataSync(), outputSize)
    },
    async dispose() {
      if (disposed) return
      disposed = true
      useBackend(started)
      weights.dispose()
    },
  }
}

/** A process has one TensorFlow engine however many of its packages are loaded: each call says whose kernels it means. */
function useBackend({ tf, name }: StartedTensorFlow): void {
  if (tf.getBackend() !== name) void tf.setBackend(name)
}

/** Past its address space the WASM backend writes over its own memory instead of failing. */
function checkRoom(backend: string, { tf, maximumBytes }: StartedTensorFlow, byteLength: number): void {
  const { numBytes } = tf.memory()
  if (maximumBytes === null || numBytes + byteLength <= maximumBytes) return
  throw new EngineFailedError(backend, `${numBytes} bytes are held, ${byteLength} more exceed ${maximumBytes}`)
}
