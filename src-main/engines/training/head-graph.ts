/**
 * The end of the model: final norm, head, and the loss, with gradients. Only positions that predict something come here.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { createGraph, type Graph, type Value } from './graph.ts'
import { linear, type Matrix, rmsNorm } from './operators.ts'
import { createTape, type Tape } from './tape.ts'

/**
 * Inputs: `x` (rows, hidden), `targets` (rows, 1) ids, `targetWeights` (rows, 1), `finalNorm`, `head`, and when masked
 * `head.rows`, `head.columns`.
 */
export interface HeadGraph {
  readonly graph: Graph
  /** (rows, 1): -log p(target) times its weight. */
  readonly losses: Value
  /** (rows, 1): log p(target) */
  readonly targetLogProbabilities: Value
  /** (rows, vocabulary) */
  readonly logProbabilities: Value
  readonly inputGradient: Value
  readonly finalNormGradient: Value
  readonly headGradient: Value
}

export function buildHeadGraph(config: ModelConfig, { masked }: { masked: boolean }): HeadGraph {
  const graph = createGraph()
  const tape = createTape(graph)
  const [x, finalNorm, value] = [graph.input('x'), graph.input('finalNorm'), graph.input('head')]
  const entries = { rows: graph.input('head.rows', 'int32'), columns: graph.input('head.columns', 'int32') }
  const head: Matrix = masked ? { value, entries } : { value }
  const logits = linear(tape, rmsNorm(tape, x, finalNorm, config.rmsNormEpsilon), head)
  const { losses, ...logProbabilities } = crossEntropy(tape, logits)
  const gradients = tape.gradients(losses, graph.constant('float32', [1]))
  return {
    graph,
    losses,
    ...logProbabilities,
    inputGradient: gradients.of(x),
    finalNormGradient: gradients.of(finalNorm),
    headGradient: gradients.of(value),
  }
}

/** ℓ = -w log softmax(z)[target]. dz = w (softmax(z) - onehot(target)) for the sum of all ℓ; weights may be negative. */
function crossEntropy({ graph, record }: Tape, logits: Value) {
  const { node } = graph
  const [targets, weights] = [graph.input('targets', 'int64'), graph.input('targetWeights')]
  const axis = { axis: { int: 1 } }
  const logProbabilities = node('LogSoftmax', [logits], axis)
  const targetLogProbabilities = node('GatherElements', [logProbabilities, targets], axis)
  const negativeWeights = node('Neg', [weights])
  const losses = record(node('Mul', [targetLogProbabilities, negativeWeights]), [logits], () => {
    const weighted = node('Mul', [node('Exp', [logProbabilities]), weights])
    const add = { ...axis, reduction: { string: 'add' } }
    return [node('ScatterElements', [weighted, targets, negativeWeights], add)]
  })
  return { losses, targetLogProbabilities, logProbabilities }
}
