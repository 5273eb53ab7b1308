import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { createRuntimeSession } from '#engines/onnxruntime/runtime-session.ts'
import { layOut } from '#engines/onnxruntime/weight-layout.ts'

const layout = layOut({ first: [2], second: [2] })
const graph = {
  weights: layout.weights,
  nodes: [
    { operator: 'Add', inputs: ['x', 'first'], outputs: ['sum'] },
    { operator: 'LeakyRelu', inputs: ['sum'], outputs: ['leaked'], attributes: { alpha: { float: 0.5 } } },
    { operator: 'Mul', inputs: ['leaked', 'second'], outputs: ['product'] },
    { operator: 'Concat', inputs: ['product', 'x'], outputs: ['y'], attributes: { axis: { int: -1 } } },
  ],
  inputs: [{ name: 'x', type: 'float32', shape: ['rows', 2] }],
  outputs: [{ name: 'y', type: 'float32', shape: ['rows', 4] }],
} as const

async function run(session: InferenceSession, row: readonly number[]): Promise<unknown> {
  const { y } = await session.run({ x: new Tensor('float32', Float32Array.from(row), [1, 2]) })
  return Array.from((y?.data ?? []) as Float32Array)
}

describe('an emitted graph', () => {
  it('is read by the runtime as it was written: shapes, attributes and weights', async () => {
    const session = await createRuntimeSession(graph, Float32Array.of(1, -1, 10, 100), 1)
    expect(session.inputMetadata).toMatchObject([{ name: 'x', type: 'float32', shape: ['rows', 2] }])
    expect(await run(session, [1, -1])).toEqual([20, -100, 1, -1])
    await session.release()
  })

  it('keeps its own copy of the weights', async () => {
    const weights = Float32Array.of(1, 1, 1, 1)
    const session = await createRuntimeSession(graph, weights, 1)
    weights.fill(Number.NaN)
    expect(await run(session, [1, 1])).toEqual([2, 2, 1, 1])
    await session.release()
  })

  it('is refused with an error when it makes no sense', async () => {
    const wrong = { ...graph, nodes: [{ operator: 'NoSuchOperator', inputs: ['x'], outputs: ['y'] }] }
    await expect(createRuntimeSession(wrong, new Float32Array(4), 1)).rejects.toThrow('NoSuchOperator')
  })
})
