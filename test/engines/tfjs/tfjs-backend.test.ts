import util from 'node:util'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { EngineFailedError } from '#core/errors.ts'
import { startNode } from '#engines/tfjs/start-node.ts'
import { startWasm } from '#engines/tfjs/start-wasm.ts'
import type { StartedTensorFlow } from '#engines/tfjs/tensorflow.ts'
import { createTfjsBackend } from '#engines/tfjs/tfjs-backend.ts'
import { describeLinearBackend } from '#test/compliance/linear-backend.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { createTensorFlowAddon } from '#test/fakes/tensorflow-addon.ts'

const faults = ['uncaughtException', 'unhandledRejection'] as const
const listenerCounts = () => faults.map((fault) => process.listenerCount(fault))
const listenersBefore = listenerCounts()

const wasm = await startWasm()
describeLinearBackend('TensorFlow.js on WASM', () => createTfjsBackend('wasm'), {
  tolerances: { float32: 1e-5 },
  held: () => wasm.tf.memory().numTensors,
})

const addon = createTensorFlowAddon({ usesGpu: true })
describeLinearBackend(
  'TensorFlow.js on the Node addon',
  () => createTfjsBackend('node', () => startNode('node', async () => addon)),
  { tolerances: { float32: 1e-6 }, held: () => addon.memory().numTensors },
)
describeLinearBackend(
  'TensorFlow.js on the CUDA addon',
  () => createTfjsBackend('gpu', () => startNode('gpu', async () => ({ default: addon }))),
  { tolerances: { float32: 1e-6 }, held: () => addon.memory().numTensors },
)

const options = { threads: 1, format: 'float32' } as const

describe('TensorFlow.js on WASM', () => {
  it('leaves faults of the process to those who listen for them already', () => {
    expect(listenerCounts()).toEqual(listenersBefore)
  })

  it('computes with the same kernels after another backend was in use', async () => {
    const model = randomModel(tinyConfig(), 1)
    const head = await createTfjsBackend('wasm').loadHead(model, options)
    const x = new Float32Array(32).fill(0.5)
    const before = await head.run(x)
    let selected = 'cpu'
    const asked: string[] = []
    const shared: StartedTensorFlow = {
      ...wasm,
      tf: {
        ...wasm.tf,
        getBackend: () => selected,
        setBackend: async (name) => {
          asked.push(name)
          selected = name
          return true
        },
      },
    }
    const other = await createTfjsBackend('wasm', async () => shared).loadHead(model, options)
    selected = 'cpu'
    expect(await other.run(x)).toEqual(before)
    expect(asked).toEqual(['wasm', 'wasm'])
    await head.dispose()
    await other.dispose()
  })

  it('refuses weights that its address space cannot hold, and holds none of them', async () => {
    const small: StartedTensorFlow = { ...wasm, maximumBytes: wasm.tf.memory().numBytes + 1_000 }
    const { numTensors } = wasm.tf.memory()
    const loading = createTfjsBackend('wasm', async () => small).loadBlock(randomModel(tinyConfig(), 1), 0, options)
    await expect(loading).rejects.toThrow(/exceed/)
    expect(wasm.tf.memory().numTensors).toBe(numTensors)
  })

  it('frees twice without harm', async () => {
    const block = await createTfjsBackend('wasm').loadBlock(randomModel(tinyConfig(), 2), 0, options)
    await block.dispose()
    await block.dispose()
  })

  it('holds weights as float32 only', async () => {
    const backend = createTfjsBackend('wasm')
    expect(() => backend.numericsClass('int8')).toThrow(RangeError)
    await expect(backend.loadHead(randomModel(tinyConfig(), 3), { threads: 1, format: 'int4' })).rejects.toThrow(
      RangeError,
    )
  })
})

describe('TensorFlow on the Node addon', () => {
  const environment = { ...process.env }
  afterEach(() => {
    process.env = { ...environment }
    vi.restoreAllMocks()
  })

  it('is repaired for Node versions that lack util.isNullOrUndefined, before it loads', async () => {
    const holder = util as { isNullOrUndefined?: (value: unknown) => boolean }
    delete holder.isNullOrUndefined
    const importPackage = vi.fn(async () => {
      expect([null, undefined, 0, ''].map((value) => holder.isNullOrUndefined?.(value))).toEqual([
        true,
        true,
        false,
        false,
      ])
      return addon
    })
    await startNode('node', importPackage)
    expect(importPackage).toHaveBeenCalledWith('@tensorflow/tfjs-node')
  })

  it('is an engine failure when the package is absent, as it is here', async () => {
    const backend = createTfjsBackend('gpu')
    await expect(backend.loadHead(randomModel(tinyConfig(), 4), options)).rejects.toThrow(EngineFailedError)
  })

  it('is no CUDA when TensorFlow computes on the processor', async () => {
    const onProcessor = createTensorFlowAddon({ usesGpu: false })
    await expect(startNode('gpu', async () => onProcessor)).rejects.toThrow('found no GPU')
  })

  it('multiplies in whole float32 on CUDA, unless the owner says otherwise', async () => {
    delete process.env['NVIDIA_TF32_OVERRIDE']
    await startNode('gpu', async () => addon)
    expect(process.env['NVIDIA_TF32_OVERRIDE']).toBe('0')
    process.env['NVIDIA_TF32_OVERRIDE'] = '1'
    await startNode('gpu', async () => addon)
    expect(process.env['NVIDIA_TF32_OVERRIDE']).toBe('1')
  })

  it('says what the GPU said when a product fails, and holds nothing of a load that failed', async () => {
    const { numTensors } = addon.memory()
    const backend = createTfjsBackend('gpu', () => startNode('gpu', async () => addon))
    addon.failNext('OOM when allocating tensor')
    const loading = backend.loadHead(randomModel(tinyConfig(), 5), options)
    await expect(loading).rejects.toThrow('tfjs-cuda: OOM when allocating tensor')
    expect(addon.memory().numTensors).toBe(numTensors)
  })
})
