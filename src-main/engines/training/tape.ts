/**
 * Reverse-mode differentiation (Griewank & Walther 2008, §3.2) that emits its result: each operator records how a gradient
 * passes through it (its vector-Jacobian product), and `gradients` walks the records from last to first. It emits the
 * gradient of everything; what nobody wants is left behind when the graph is cut.
 */
import type { Graph, Value } from './graph.ts'

/** Gradients of a scalar with respect to an operator's inputs, in their order, from the gradient of its output. */
export type VectorJacobianProduct = (outputGradient: Value) => readonly Value[]

interface Entry {
  readonly output: Value
  readonly inputs: readonly Value[]
  readonly product: VectorJacobianProduct
}

export interface Tape {
  readonly graph: Graph
  /** Remembers how `output` was made of `inputs`, and returns it. */
  record(output: Value, inputs: readonly Value[], product: VectorJacobianProduct): Value
  /** Emits the gradients of a scalar whose gradient with respect to `output` is `seed`. */
  gradients(output: Value, seed: Value): GradientsByValue
}

export interface GradientsByValue {
  /** Throws `Error` for a value that the output does not depend on. */
  of(value: Value): Value
}

export function createTape(graph: Graph): Tape {
  const entries: Entry[] = []
  return {
    graph,
    record(output, inputs, product) {
      entries.push({ output, inputs, product })
      return output
    },
    gradients(output, seed) {
      const sums = new Map<Value, Value>([[output, seed]])
      for (const entry of entries.toReversed()) {
        const outputGradient = sums.get(entry.output)
        if (outputGradient === undefined) continue
        const inputGradients = entry.product(outputGradient)
        for (const [i, input] of entry.inputs.entries()) accumulate(graph, sums, input, inputGradients[i] as Value)
      }
      return { of: (value) => sums.get(value) ?? independent(value) }
    },
  }
}

/** A value used twice receives the sum of both gradients. */
function accumulate(graph: Graph, sums: Map<Value, Value>, value: Value, gradient: Value): void {
  const sum = sums.get(value)
  sums.set(value, sum === undefined ? gradient : graph.node('Add', [sum, gradient]))
}

function independent(value: Value): never {
  throw new Error(`the output does not depend on ${value}`)
}
