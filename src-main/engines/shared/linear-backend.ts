/**
 * What differs from backend to backend: matrix products with the weights. Everything else of a block (norms, rotation,
 * attention over cached keys and values, patches) is the same code for all, in `engines/blocks`.
 */
import type { LoadOptions, NumericsClass, WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'

/** A block's matrices as they are multiplied: the projections that share an input are one matrix, rows one after the other. */
export const blockProducts = ['queryKeyValue', 'output', 'gateUp', 'down'] as const
export type BlockProduct = (typeof blockProducts)[number]

/** One block's matrices in memory. */
export interface BlockProducts {
  readonly weightBytes: number
  /** x (rows, in) -> x Wᵀ (rows, out). `x` is not kept and the result is the caller's. Calls may overlap. */
  run(product: BlockProduct, x: Float32Array): Promise<Float32Array>
  /**
   * What follows attention when no patch looks in between, in one call: with h = residual + attended Wᵀ_output,
   * h + swiglu(norm(h)). `attended` (rows, headCount * headSize), `residual` (rows, hidden), the norm's `gain` (hidden,)
   * -> (rows, hidden)
   */
  finish?(attended: Float32Array, residual: Float32Array, gain: Float32Array): Promise<Float32Array>
  /** What the products multiply with, as float32 (out, in), for gradients through them. */
  floats(product: BlockProduct, options?: { signal?: AbortSignal }): Promise<Float32Array>
  dispose(): Promise<void>
}

/** The head in memory: (rows, hidden), already normed, -> (rows, vocabulary) */
export interface HeadProduct {
  readonly weightBytes: number
  run(x: Float32Array): Promise<Float32Array>
  dispose(): Promise<void>
}

export type LinearOptions = Required<Pick<LoadOptions, 'threads' | 'format'>> & Pick<LoadOptions, 'signal'>

export interface LinearBackend {
  readonly backend: string
  readonly formats: readonly WeightFormat[]
  numericsClass(format: WeightFormat): NumericsClass
  loadBlock(model: ModelHandle, index: number, options: LinearOptions): Promise<BlockProducts>
  loadHead(model: ModelHandle, options: LinearOptions): Promise<HeadProduct>
}
