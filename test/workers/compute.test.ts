/** The compute worker as the product starts it: its own model store, real weights, a real backend. */
import { mkdtempSync, rmSync } from 'node:fs'
import { getPriority, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createModelStore } from '#adapters/models/store.ts'
import { EngineFailedError } from '#core/errors.ts'
import type { Engine } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import type { ComputeProcess } from '#engines/worker/channel.ts'
import { startChildProcess } from '#engines/worker/child-process.ts'
import { type ComputeClient, startComputeClient } from '#engines/worker/compute-client.ts'
import { createRemoteEngine } from '#engines/worker/remote-engine.ts'
import { createRemoteTrainingEngine } from '#engines/worker/remote-training-engine.ts'
import { startWorkerThread } from '#engines/worker/worker-thread.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'
import { type ComputeOptions, fromArguments, toArguments } from '../../src-main/workers/compute-options.ts'

const root = resolve(import.meta.dirname, '../..')
const embedded = [join(root, 'resources/models/seedling')]
const span = { start: 0, end: 2 }

let directory: string
let model: ModelHandle
let client: ComputeClient | undefined
let worker: ComputeProcess | undefined

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'quiltbee-compute-'))
  model = await createModelStore({ directory, readOnly: embedded }).open('seedling')
})
afterEach(async () => {
  await client?.dispose()
  client = undefined
})
afterAll(async () => {
  await model?.close()
  rmSync(directory, { recursive: true, force: true })
})

function optionsFor(backend: string): ComputeOptions {
  return {
    backend,
    models: { directory: join(directory, 'models'), embedded },
    preparedWeights: { directory: join(directory, 'prepared') },
    niceness: 7,
  }
}

async function begin(start: typeof startChildProcess, backend: string): Promise<Engine> {
  client = await startComputeClient(
    {
      clock: systemClock,
      start() {
        worker = start({ entry: join(root, 'src-main/workers/compute.ts'), args: toArguments(optionsFor(backend)) })
        return worker
      },
    },
    { name: backend },
  )
  return createRemoteEngine(client)
}

async function outputOf(engine: Engine): Promise<Float32Array> {
  const [runner, ends] = await Promise.all([
    engine.loadSpan(model, span, { threads: 1 }),
    engine.loadEnds(model, { threads: 1 }),
  ])
  const session = runner.openSession({ maxLength: 16 })
  const logits = await ends.logits(await session.forward(await ends.embed([1, 20, 300, 4])))
  await Promise.all([runner.dispose(), ends.dispose()])
  return logits
}

describe('the compute worker', () => {
  for (const [name, start] of Object.entries({ 'a process': startChildProcess, 'a thread': startWorkerThread })) {
    it(`computes in ${name} what the reference engine computes here`, async () => {
      const engine = await begin(start, 'onnxruntime-cpu')
      expect(engine.backend).toBe('onnxruntime-cpu')
      expect(engine.formats).toContain('int8')
      expect(relativeError(await outputOf(engine), await outputOf(createReferenceEngine()))).toBeLessThan(1e-4)
      expect(await client?.stats()).toMatchObject({ parts: 0, weightBytes: 0, sessions: 0 })
    })
  }

  it('stands back for other programs', async () => {
    await begin(startChildProcess, 'reference')
    expect(getPriority(worker?.pid ?? 0)).toBe(7)
  })

  it('trains with the backend that can', async () => {
    await begin(startChildProcess, 'onnxruntime-cpu')
    if (client === undefined) throw new Error('not started')
    const trainee = await createRemoteTrainingEngine(client)?.loadTrainee(model, {
      parameters: [{ kind: 'scale', block: 0, target: 'feedForward' }],
      threads: 1,
    })
    const batch = [{ tokens: [1, 20, 300, 4, 50] }]
    const before = await trainee?.step(batch, { kind: 'sgd', learningRate: 0.1 })
    const after = await trainee?.loss(batch)
    expect(after?.lossSum).toBeLessThan(before?.lossSum ?? 0)
    await trainee?.dispose()
  })

  it('that cannot start says why', async () => {
    await expect(begin(startChildProcess, 'abacus')).rejects.toThrow(EngineFailedError)
    await expect(begin(startChildProcess, 'abacus')).rejects.toThrow('no backend abacus')
    await expect(begin(startWorkerThread, 'abacus')).rejects.toThrow('no backend abacus')
  })

  it('reads its options back, and refuses those of another version', () => {
    const options = optionsFor('reference')
    expect(fromArguments(toArguments(options))).toEqual(options)
    expect(() => fromArguments([JSON.stringify({ ...options, newer: true })])).toThrow()
    expect(() => fromArguments([])).toThrow()
  })
})
