import { Tensor } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { createGraph, type Graph, type Value } from '#engines/training/graph.ts'
import { linear, swishGate } from '#engines/training/operators.ts'
import { createPrograms } from '#engines/training/program.ts'
import { createTape } from '#engines/training/tape.ts'

/** y = exp(x)², z = -y, beside something nobody wants. */
function smallGraph() {
  const graph = createGraph()
  const x = graph.input('x')
  const exponential = graph.node('Exp', [x])
  const y = graph.node('Mul', [exponential, exponential])
  graph.node('Add', [y, graph.input('unused')])
  return { graph, x, exponential, y, z: graph.node('Neg', [y]) }
}

describe('a graph', () => {
  it('is cut to what is wanted, from what is given', () => {
    const { graph, exponential, y, z } = smallGraph()
    const operators = (given: Value[], wanted: Value[]) =>
      graph.extract({ given, wanted }).nodes.map(({ operator }) => operator)
    expect(operators([], [z])).toEqual(['Exp', 'Mul', 'Neg'])
    expect(operators([exponential], [y])).toEqual(['Mul'])
    const cut = graph.extract({ given: [y], wanted: [z] })
    expect(cut.inputs.map(({ name }) => name)).toEqual([y])
  })

  it('has the same operator on the same inputs once', () => {
    const { graph, x, exponential } = smallGraph()
    expect(graph.node('Exp', [x])).toBe(exponential)
    expect(graph.node('Softmax', [x], { axis: { int: 1 } })).not.toBe(graph.node('Softmax', [x], { axis: { int: 0 } }))
  })

  it('names the value that nothing makes', () => {
    const { graph } = smallGraph()
    expect(() => graph.extract({ given: [], wanted: ['nowhere' as Value] })).toThrow(/nowhere/)
  })
})

describe('a tape', () => {
  it('adds up the gradients of a value that is used twice', async () => {
    const graph = createGraph()
    const tape = createTape(graph)
    const x = graph.input('x')
    const y = swishGate(tape, x, x) // x² σ(x), whose slope is 2x σ + x² σ (1 - σ)
    const gradient = tape.gradients(y, graph.input('dy')).of(x)
    const points = [-2, -0.5, 0, 1, 3]
    const slopes = await run(graph, gradient, { x: points, dy: points.map(() => 1) })
    for (const [i, point] of points.entries()) {
      const sigmoid = 1 / (1 + Math.exp(-point))
      expect(slopes[i]).toBeCloseTo(2 * point * sigmoid + point * point * sigmoid * (1 - sigmoid), 5)
    }
  })

  it('emits nothing of a frozen matrix’ gradient into what is cut out', () => {
    const graph = createGraph()
    const tape = createTape(graph)
    const [x, weight] = [graph.input('x'), graph.input('weight')]
    const gradients = tape.gradients(linear(tape, x, { value: weight }), graph.input('dy'))
    const { nodes, inputs } = graph.extract({ given: [], wanted: [gradients.of(x)] })
    expect(nodes.map(({ operator }) => operator)).toEqual(['MatMul'])
    expect(inputs.map(({ name }) => name).sort()).toEqual(['dy', 'weight'])
    expect(() => gradients.of(graph.input('other'))).toThrow(/does not depend on other/)
  })
})

async function run(graph: Graph, wanted: Value, feeds: Record<string, readonly number[]>): Promise<Float32Array> {
  const programs = createPrograms(1)
  const program = await programs.get('test', () => ({ graph, wanted: [wanted] }))
  const tensors = Object.entries(feeds).map(([name, values]) => [
    name,
    new Tensor('float32', [...values], [values.length]),
  ])
  const results = await program.run(Object.fromEntries(tensors))
  await programs.dispose()
  return results[wanted]?.data as Float32Array
}
