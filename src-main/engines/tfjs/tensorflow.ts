/**
 * The part of TensorFlow.js that is used here. Its three packages (WASM, Node, Node with CUDA) give the same object, and two
 * of them may be absent, so it is described by what it does rather than by one package's types.
 */
export interface Tensor2D {
  readonly shape: readonly number[]
  /** A copy for the backends used here. */
  dataSync(): Float32Array
  dispose(): void
}

export interface TensorFlow {
  getBackend(): string
  /** Takes effect before it returns when the backend has been started; false when it cannot be started. */
  setBackend(name: string): Promise<boolean>
  backend(): object
  memory(): { readonly numTensors: number; readonly numBytes: number }
  tidy<Result>(work: () => Result): Result
  tensor2d(values: Float32Array, shape: [number, number]): Tensor2D
  matMul(a: Tensor2D, b: Tensor2D): Tensor2D
}

/** A started TensorFlow.js: which backend of it to compute with, and what that one can hold. */
export interface StartedTensorFlow {
  readonly tf: TensorFlow
  /** Its own name for the backend: `wasm`, `tensorflow`. */
  readonly name: string
  /** Most bytes of tensors it can hold at once; null when memory is the only limit. */
  readonly maximumBytes: number | null
}
