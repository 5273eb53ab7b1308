/** The backward side: gradients of chosen entries, products with quantised weights transposed, and optimizers. */
import type { GroupedMatrix } from './format-kernels.ts'
import { type WasmExports, wasmExports } from './wasm-exports.ts'
import type { Pointer, Workspace } from './workspace.ts'

/** Which entries of a (rows, columns) matrix are trained, in a workspace. */
export interface PackedMask {
  readonly rows: number
  readonly columns: number
  readonly entries: number
  readonly byteLength: number
  /** (rows + 1,) u32: where each row's entries begin; then (entries,) u32: their columns */
  readonly pointer: Pointer
}

/** `indices`: row-major, ascending. Throws `RangeError` when they are not, or outside the matrix; and `WorkspaceFullError`. */
export function packMask(workspace: Workspace, indices: Uint32Array, rows: number, columns: number): PackedMask {
  const starts = new Uint32Array(rows + 1)
  const places = new Uint32Array(indices.length)
  let previous = -1
  for (const [entry, index] of indices.entries()) {
    const row = Math.floor(index / columns)
    if (index <= previous || row >= rows) {
      throw new RangeError(`entry ${index} after ${previous} in a matrix of ${rows} by ${columns}`)
    }
    starts[row + 1] = entry + 1
    places[entry] = index - row * columns
    previous = index
  }
  for (let row = 1; row <= rows; row++) starts[row] = Math.max(starts[row] as number, starts[row - 1] as number)
  const byteLength = starts.byteLength + places.byteLength
  const pointer = workspace.allocate(byteLength)
  workspace.integers(pointer, starts.length).set(starts)
  workspace.integers(pointer + starts.byteLength, places.length).set(places)
  return { rows, columns, entries: indices.length, byteLength, pointer }
}

export interface TokenRows {
  /** (tokens, xStride), rows beginning with the matrix's columns: the product's input */
  readonly x: Pointer
  readonly xStride: number
  /** (tokens, dyStride), rows beginning with the matrix's rows: the gradient of the product's output */
  readonly dy: Pointer
  readonly dyStride: number
  readonly tokens: number
}

export interface AdamStep {
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  readonly weightDecay: number
  /** How many steps were made, this one included. */
  readonly steps: number
  /** Gradients are multiplied by it first. */
  readonly gradientScale: number
}

export interface GradientKernels {
  /** gradient[e] += Σₜ dy[t, row(e)] x[t, column(e)]. `gradient`: (entries,) */
  sparseGradient(mask: PackedMask, rows: TokenRows, gradient: Pointer): void
  /** dx += Wᵀ dy for one row, from quantised W. `dy`: (rows,), `dx`: (columns,) */
  transposedProduct(matrix: GroupedMatrix, dy: Pointer, dx: Pointer): void
  /** AdamW (Loshchilov & Hutter 2019, algorithm 2), in place. All arrays (count,) */
  adapt(parameters: Pointer, gradients: Pointer, moments: Moments, count: number, step: AdamStep): void
  /** θ -= rate g, in place. Both (count,) */
  descend(parameters: Pointer, gradients: Pointer, count: number, rate: number): void
}

export interface Moments {
  readonly first: Pointer
  readonly second: Pointer
}

export function createGradientKernels(workspace: Workspace): GradientKernels {
  const wasm = wasmExports(workspace)
  return {
    sparseGradient: (mask, rows, gradient) => addSparseGradient(workspace, wasm, mask, rows, gradient),
    transposedProduct: (matrix, dy, dx) => addTransposedProduct(workspace, wasm, matrix, dy, dx),
    adapt(parameters, gradients, { first, second }, count, step) {
      const { learningRate, beta1, beta2, steps } = step
      const rate = learningRate / (1 - beta1 ** steps)
      const rootCorrection = 1 / Math.sqrt(1 - beta2 ** steps)
      const betas = [beta1, 1 - beta1, beta2, 1 - beta2] as const
      const rates = [rate, rootCorrection, step.epsilon, 1 - learningRate * step.weightDecay] as const
      wasm.adapt(parameters, gradients, first, second, count, step.gradientScale, ...betas, ...rates)
    },
    descend: wasm.descend,
  }
}

/** Tokens turned at a time: what an inner product reads then stays in the second cache. */
const tokensPerTurn = 64

function addSparseGradient(
  workspace: Workspace,
  wasm: WasmExports,
  { pointer, rows, columns }: PackedMask,
  { x, xStride, dy, dyStride, tokens }: TokenRows,
  gradient: Pointer,
): void {
  const width = Math.min(tokensPerTurn, Math.ceil(tokens / 4) * 4)
  const turnedX = workspace.scratch('turnedX', columns * width * 4)
  const turnedDy = workspace.scratch('turnedDy', rows * width * 4)
  for (let token = 0; token < tokens; token += width) {
    const count = Math.min(width, tokens - token)
    const padded = Math.ceil(count / 4) * 4
    wasm.transpose(x + token * xStride * 4, xStride, count, columns, turnedX, padded)
    wasm.transpose(dy + token * dyStride * 4, dyStride, count, rows, turnedDy, padded)
    wasm.sparseGradient(pointer, pointer + (rows + 1) * 4, rows, turnedDy, turnedX, padded, gradient)
  }
}

function addTransposedProduct(
  workspace: Workspace,
  wasm: WasmExports,
  { bits, group, rows, columns, codes, scales }: GroupedMatrix,
  dy: Pointer,
  dx: Pointer,
): void {
  const groups = Math.ceil(columns / group)
  if (groups * group === columns) {
    wasm.transposedProduct(bits, codes, scales, dy, dx, rows, groups, group)
    return
  }
  const padded = workspace.scratch('padded', groups * group * 4)
  workspace.floats(padded, groups * group).fill(0)
  wasm.transposedProduct(bits, codes, scales, dy, padded, rows, groups, group)
  wasm.addInPlace(dx, padded, columns)
}
