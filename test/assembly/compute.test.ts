/** Training and serving in workers apart. */
import { mkdtempSync, rmSync } from 'node:fs'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createDataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { type AssembledCompute, assembleCompute, usualBackend } from '#assembly/compute.ts'
import { openModelStore } from '#assembly/model-store.ts'
import { EngineFailedError } from '#core/errors.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { seesProcesses, workersOf } from '../e2e/worker-processes.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const scale = { parameters: [{ kind: 'scale', block: 0, target: 'key' }], threads: 1 } as const
const batch = [{ tokens: [1, 20, 300, 4, 50] }]

describe.skipIf(!seesProcesses)('training in the product', () => {
  const home = mkdtempSync(join(tmpdir(), 'quiltbee-training-'))
  let compute: AssembledCompute
  let model: ModelHandle

  beforeEach(async () => {
    const directory = dataDirectory({ environment: { QUILTBEE_HOME: home } })
    createDataDirectory(directory)
    model = await openModelStore(directory).open('seedling')
    compute = assembleCompute({ directory, logger: quiet, trainingRestMs: 300 })
  })
  afterEach(async () => {
    await compute[Symbol.asyncDispose]()
    await model.close()
    rmSync(home, { recursive: true, force: true })
  })

  test('has a process of its own that stands back furthest, counts, and ends when nothing is trained', async () => {
    const before = workersOf(process.pid)
    const started = () => workersOf(process.pid).filter((pid) => !before.includes(pid))
    await compute.engine(usualBackend)
    const [serving = 0] = started()
    const engine = compute.training()
    expect(started()).toEqual([serving])
    const trainee = await engine?.loadTrainee(model, scale)
    const [training = 0] = started().filter((pid) => pid !== serving)
    expect(getPriority(training)).toBe(19)
    expect(getPriority(serving)).toBe(10)
    const trainingBytes = await compute.trainingResidentBytes()
    expect(trainingBytes).toBeGreaterThan(20e6)
    expect(await compute.residentBytes()).toBeGreaterThan(trainingBytes + 20e6)
    await trainee?.dispose()
    await expect.poll(started, { timeout: 10_000 }).toEqual([serving])
    expect(await compute.trainingResidentBytes()).toBe(0)
  })

  test('breaks nothing else when it is killed, and nobody is told to load blocks again', async () => {
    const before = workersOf(process.pid)
    const told: string[] = []
    compute.onFailure((backend) => told.push(backend))
    const trainee = await compute.training()?.loadTrainee(model, scale)
    const [training = 0] = workersOf(process.pid).filter((pid) => !before.includes(pid))
    const step = trainee?.step(batch, { kind: 'sgd', learningRate: 0.1 })
    process.kill(training, 'SIGKILL')
    await expect(step).rejects.toThrow(EngineFailedError)
    expect(told).toEqual([])
    const next = await compute.training()?.loadTrainee(model, scale)
    expect((await next?.loss(batch))?.weightSum).toBe(4)
  })

  test('is not to be had of a backend that only runs models', () => {
    expect(compute.training('tfjs-wasm')).toBeNull()
    expect(compute.training('reference')).toBeNull()
  })
})
