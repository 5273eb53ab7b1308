import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRuntimeSession } from '#engines/onnxruntime/runtime-session.ts'
import { encodeOnnxModel, type OnnxGraph } from '#engines/shared/onnx-model.ts'

const weighted = {
  weights: [
    { name: 'first', type: 'float32', shape: [2], offsetBytes: 0 },
    { name: 'second', type: 'float32', shape: [2], offsetBytes: 12 },
  ],
  nodes: [
    { operator: 'Add', inputs: ['x', 'first'], outputs: ['sum'] },
    { operator: 'LeakyRelu', inputs: ['sum'], outputs: ['leaked'], attributes: { alpha: { float: 0.5 } } },
    { operator: 'Mul', inputs: ['leaked', 'second'], outputs: ['product'] },
    { operator: 'Concat', inputs: ['product', 'x'], outputs: ['y'], attributes: { axis: { int: -1 } } },
  ],
  inputs: [{ name: 'x', type: 'float32', shape: ['rows', 2] }],
  outputs: [{ name: 'y', type: 'float32', shape: ['rows', 4] }],
} satisfies OnnxGraph

/** Row by row, x + offset; then the rows side by side, turned by 1 and doubled. */
const looping = {
  constants: [
    { name: 'two', type: 'float32', shape: [], values: [2] },
    { name: 'offset', type: 'float32', shape: [2], values: [10, 20] },
    { name: 'flat', type: 'int64', shape: [1], values: [-1] },
    { name: 'place', type: 'int32', shape: [4], values: [3, 0, 1, 2] },
  ],
  nodes: [
    {
      operator: 'Scan',
      inputs: ['x'],
      outputs: ['moved'],
      attributes: {
        num_scan_inputs: { int: 1 },
        body: {
          graph: {
            nodes: [{ operator: 'Add', inputs: ['row', 'offset'], outputs: ['movedRow'] }],
            inputs: [{ name: 'row', type: 'float32' }],
            outputs: [{ name: 'movedRow', type: 'float32', shape: [2] }],
          },
        },
      },
    },
    { operator: 'Transpose', inputs: ['moved'], outputs: ['turned'], attributes: { perm: { ints: [1, 0] } } },
    { operator: 'Reshape', inputs: ['turned', 'flat'], outputs: ['side'] },
    { operator: 'Gather', inputs: ['side', 'place'], outputs: ['gathered'] },
    {
      operator: 'Einsum',
      inputs: ['gathered', 'two'],
      outputs: ['y'],
      attributes: { equation: { string: 'i,->i' } },
    },
  ],
  inputs: [{ name: 'x', type: 'float32' }],
  outputs: [{ name: 'y', type: 'float32' }],
} satisfies OnnxGraph

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quiltbee-onnx-'))
})
afterAll(async () => {
  await rm(directory, { recursive: true, force: true })
})

async function weightsFile(name: string): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, new Uint8Array(Float32Array.of(1, -1, Number.NaN, 10, 100).buffer))
  return path
}

async function run(session: InferenceSession, rows: readonly number[]): Promise<unknown> {
  const { y } = await session.run({ x: new Tensor('float32', Float32Array.from(rows), [rows.length / 2, 2]) })
  return Array.from((y?.data ?? []) as Float32Array)
}

describe('an emitted graph', () => {
  it('is read by the runtime as it was written: shapes, attributes, and weights from where they lie', async () => {
    const session = await createRuntimeSession(weighted, await weightsFile('read.bin'), 1)
    expect(session.inputMetadata).toMatchObject([{ name: 'x', type: 'float32', shape: ['rows', 2] }])
    expect(await run(session, [1, -1])).toEqual([20, -100, 1, -1])
    await session.release()
  })

  it('does not need the file of its weights once a session is made', async () => {
    const path = await weightsFile('gone.bin')
    const session = await createRuntimeSession(weighted, path, 1)
    await rm(path)
    expect(await run(session, [0, 0])).toEqual([10, -50, 0, 0])
    await session.release()
  })

  it('may hold constants, bodies of loops and values without a shape', async () => {
    const session = await InferenceSession.create(encodeOnnxModel(looping))
    // Rows (11, 22) and (13, 24): turned 11, 13, 22, 24, the last one first.
    expect(await run(session, [1, 2, 3, 4])).toEqual([48, 22, 26, 44])
    expect(session.inputMetadata).toMatchObject([{ name: 'x', type: 'float32' }])
    await session.release()
  })

  it('is refused with an error when it makes no sense', async () => {
    const nodes = [{ operator: 'NoSuchOperator', inputs: ['x'], outputs: ['y'] }]
    const path = await weightsFile('wrong.bin')
    await expect(createRuntimeSession({ ...weighted, nodes }, path, 1)).rejects.toThrow('NoSuchOperator')
  })
})
