/**
 * The operators a Llama and its relatives are made of, each with its vector-Jacobian product beside it. `dy` is the gradient
 * of some scalar with respect to the operator's output. Activations are (batch, tokens, features); matrices (out, in).
 */
import type { Value } from './graph.ts'
import { sampledProduct } from './sampled-product.ts'
import type { Tape } from './tape.ts'

/** A matrix, and, when only some entries of its gradient are wanted, where they are: (chunks, entries a chunk) each. */
export interface Matrix {
  readonly value: Value
  readonly entries?: { readonly rows: Value; readonly columns: Value }
}

/** y = a + b: a residual connection. da = dy, db = dy. */
export function add({ graph, record }: Tape, a: Value, b: Value): Value {
  return record(graph.node('Add', [a, b]), [a, b], (dy) => [dy, dy])
}

/** y = x + b with b (features,). dx = dy, db = Σ dy over all positions. */
export function addBias(tape: Tape, x: Value, bias: Value): Value {
  return tape.record(tape.graph.node('Add', [x, bias]), [x, bias], (dy) => [dy, sumOverPositions(tape, dy)])
}

/** y = x ⊙ s with s (features,). dx = dy ⊙ s, ds = Σ dy ⊙ x over all positions. */
export function scale(tape: Tape, x: Value, vector: Value): Value {
  const { node } = tape.graph
  return tape.record(node('Mul', [x, vector]), [x, vector], (dy) => [
    node('Mul', [dy, vector]),
    sumOverPositions(tape, node('Mul', [dy, x])),
  ])
}

/**
 * y = x Wᵀ. dx = dy W, dW = dyᵀ x over all positions. The transposition is an operator of its own: multiplying by a matrix
 * that is transposed on the fly is slower on the left side. Only the wanted entries of a masked matrix are computed.
 */
export function linear(tape: Tape, x: Value, weight: Matrix): Value {
  const { graph, record } = tape
  const y = graph.fused('FusedMatMul', [x, weight.value], { transB: { int: 1 } })
  return record(y, [x, weight.value], (dy) => [
    graph.node('MatMul', [dy, weight.value]),
    weight.entries
      ? sampledProduct(graph, columnsOf(tape, dy), columnsOf(tape, x), weight.entries)
      : graph.node('MatMul', [columnsOf(tape, dy), positionsOf(tape, x)]),
  ])
}

/**
 * y = x r ⊙ g, with r = 1 / √(mean(x²) + ε) (Zhang & Sennrich 2019, eq. 4). With u = dy ⊙ g:
 * dx = r (u - x r² mean(u ⊙ x)), dg = Σ dy ⊙ x r over all positions.
 */
export function rmsNorm(tape: Tape, x: Value, gain: Value, epsilon: number): Value {
  const { graph, record } = tape
  const { node } = graph
  const { normed, inverseRms } = graph.normalise([x, gain], { axis: { int: -1 }, epsilon: { float: epsilon } })
  return record(normed, [x, gain], (dy) => {
    const u = node('Mul', [dy, gain])
    const mean = node('ReduceMean', [node('Mul', [u, x]), integers(tape, [-1])])
    const along = node('Mul', [node('Mul', [inverseRms, inverseRms]), mean])
    const dx = node('Mul', [inverseRms, node('Sub', [u, node('Mul', [x, along])])])
    return [dx, sumOverPositions(tape, node('Mul', [node('Mul', [dy, x]), inverseRms]))]
  })
}

/** y = silu(z) ⊙ u, silu(z) = z σ(z) (Shazeer 2020, eq. 6). dz = dy ⊙ u ⊙ σ(z) (1 + z - silu(z)), du = dy ⊙ silu(z). */
export function swishGate({ graph, record }: Tape, z: Value, u: Value): Value {
  const { node } = graph
  const sigmoid = node('Sigmoid', [z])
  const silu = node('Mul', [z, sigmoid])
  return record(node('Mul', [silu, u]), [z, u], (dy) => {
    const slope = node('Mul', [sigmoid, node('Add', [node('Sub', [z, silu]), graph.constant('float32', [1])])])
    return [node('Mul', [node('Mul', [dy, u]), slope]), node('Mul', [dy, silu])]
  })
}

export interface RotaryAngles {
  /** (tokens, headSize / 2) of the positions at hand. */
  readonly cos: Value
  readonly sin: Value
  readonly interleaved: boolean
}

/** Turns pairs of each head's features by their position's angles (Su et al. 2021, eq. 34). dx is dy turned back. */
export function rotate({ graph, record }: Tape, x: Value, { cos, sin, interleaved }: RotaryAngles): Value {
  const firstPosition = graph.constant('int64', [0], [1])
  const turn = (value: Value, sine: Value) =>
    graph.fused('RotaryEmbedding', [value, firstPosition, cos, sine], { interleaved: { int: interleaved ? 1 : 0 } })
  return record(turn(x, sin), [x], (dy) => [turn(dy, graph.node('Neg', [sin]))])
}

/** The same numbers in another shape: 0 keeps a dimension, -1 is what remains. */
export function reshape({ graph, record }: Tape, x: Value, shape: readonly number[], back: readonly number[]): Value {
  const to = (value: Value, target: readonly number[]) =>
    graph.node('Reshape', [value, graph.constant('int64', target, [target.length])])
  return record(to(x, shape), [x], (dy) => [to(dy, back)])
}

/** (a, b, c, d) -> (a, c, b, d) and, since it is its own inverse, back. */
export function swapMiddle({ graph, record }: Tape, x: Value): Value {
  const swapped = (value: Value) => graph.node('Transpose', [value], { perm: { ints: [0, 2, 1, 3] } })
  return record(swapped(x), [x], (dy) => [swapped(dy)])
}

/** Rows of `x` after the constant `past`, along the third dimension. dx is dy without past's rows. */
export function appendRows({ graph, record }: Tape, past: Value, x: Value): Value {
  const { node, constant } = graph
  const joined = node('Concat', [past, x], { axis: { int: 2 } })
  return record(joined, [x], (dy) => {
    const pastRows = node('Shape', [past], { start: { int: 2 }, end: { int: 3 } })
    const end = constant('int64', [Number.MAX_SAFE_INTEGER], [1])
    return [node('Slice', [dy, pastRows, end, constant('int64', [2], [1])])]
  })
}

/** Sums over all dimensions but the last. */
export function sumOverPositions(tape: Tape, value: Value): Value {
  const none = { keepdims: { int: 0 } }
  return tape.graph.node('ReduceSum', [positionsOf(tape, value), integers(tape, [0])], none)
}

/** (…, features) -> (positions, features) */
function positionsOf({ graph }: Tape, value: Value): Value {
  // The last dimension is kept by folding the others from the left: works for 2, 3 and 4 dimensions alike.
  return graph.node('Flatten', [value], { axis: { int: -1 } })
}

/** (…, features) -> (features, positions) */
function columnsOf(tape: Tape, value: Value): Value {
  return tape.graph.node('Transpose', [positionsOf(tape, value)], { perm: { ints: [1, 0] } })
}

function integers({ graph }: Tape, values: readonly number[]): Value {
  return graph.constant('int64', values, [values.length])
}
