/** How far a backend's products of one block are from float64's, with the same weights before any rounding. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import { linear } from '#core/numerics/linear.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { type BlockProduct, type BlockProducts, blockProducts } from './linear-backend.ts'
import { productRoles, readRoles } from './product-tensors.ts'

/** (out, in) of each product. */
export function productShapes(config: ModelConfig): Readonly<Record<BlockProduct, readonly [number, number]>> {
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headSize } = config
  return {
    queryKeyValue: [(headCount + 2 * kvHeadCount) * headSize, hiddenSize],
    output: [hiddenSize, headCount * headSize],
    gateUp: [2 * intermediateSize, hiddenSize],
    down: [hiddenSize, intermediateSize],
  }
}

/** Inputs near 1 in size, and what float64 makes of them; the same for all backends, so it is computed once. */
export interface ExpectedProducts {
  readonly rows: number
  readonly inputs: ReadonlyMap<BlockProduct, Float32Array>
  readonly outputs: ReadonlyMap<BlockProduct, Float64Array>
}

/** Of block 0; one stored tensor is in memory at a time. */
export async function expectProducts(
  model: ModelHandle,
  rows: number,
  options: { readonly signal?: AbortSignal } = {},
): Promise<ExpectedProducts> {
  const inputs = new Map<BlockProduct, Float32Array>()
  const outputs = new Map<BlockProduct, Float64Array>()
  for (const product of blockProducts) {
    const [width, inputSize] = productShapes(model.manifest.config)[product]
    const x = sampleRows(rows, inputSize)
    const y = new Float64Array(rows * width)
    let column = 0
    for await (const { dtype, bytes, shape } of readRoles(model, 0, productRoles[product], options)) {
      const part = linear(x, decodeFloats(dtype, bytes), inputSize)
      column += placeColumns(part, y, width, column, shape[0] ?? 0)
    }
    inputs.set(product, x)
    outputs.set(product, y)
  }
  return { rows, inputs, outputs }
}

/** √(Σ(y - ŷ)² / Σŷ²) of the product that is furthest off; infinite when anything is not a number. */
export async function largestError(products: BlockProducts, expected: ExpectedProducts): Promise<number> {
  let largest = 0
  for (const [product, x] of expected.inputs) {
    const error = rootMeanSquareError(await products.run(product, x), expected.outputs.get(product) ?? [])
    largest = Math.max(largest, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error)
  }
  return largest
}

/** Deterministic, without a short period: sines of the squares of counting numbers. */
export function sampleRows(rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, i) => Math.SQRT2 * Math.sin(0.37 * i * i + i))
}

function placeColumns(part: Float64Array, into: Float64Array, width: number, column: number, columns: number): number {
  for (let row = 0; row * columns < part.length; row++) {
    into.set(part.subarray(row * columns, (row + 1) * columns), row * width + column)
  }
  return columns
}

function rootMeanSquareError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.NaN
  let squaredError = 0
  let squares = 0
  for (let i = 0; i < expected.length; i++) {
    squaredError += ((actual[i] as number) - (expected[i] as number)) ** 2
    squares += (expected[i] as number) ** 2
  }
  return Math.sqrt(squaredError / squares)
}
