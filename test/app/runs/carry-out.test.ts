/** A run's work on a tiny model, with the real training, library and data source. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createDataSource } from '#adapters/datasets/data-source.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { openPatchLibrary } from '#adapters/patch-store/open-patch-library.ts'
import { type CarryOutComponents, createCarryOut } from '#app/runs/carry-out.ts'
import type { CarriedOut, CarryOutOptions } from '#app/runs/carry-out-types.ts'
import { planRun } from '#app/runs/plan-run.ts'
import { type RunPlan, type TrainInput, trainRequestSchema } from '#contracts/api/training.ts'
import { ModelNotFoundError } from '#core/errors.ts'
import { createRandom } from '#core/numerics/random.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'
import { runTraining } from '#core/training/run-training.ts'
import type { RunEvent } from '#core/training/run-types.ts'
import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { createFakeEngines } from '#test/fakes/fake-engines.ts'
import { createInMemoryRunStore, createKeptRuns, type KeptRuns } from '#test/fakes/in-memory-run-store.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'

const model = randomModel(tinyConfig({ blockCount: 1, vocabularySize: 24, contextLength: 48 }), 5)
const id = '12345678-1234-4234-8234-123456789abc'
const quiet = { debug() {}, info() {}, warn() {}, error() {} }

let folder: string
let kept: KeptRuns & Disposable
let library: PatchLibrary
let components: CarryOutComponents

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quiltbee-carry-out-'))
  kept = createKeptRuns()
  library = await openPatchLibrary({
    ...{ file: join(folder, 'patches.db'), directory: join(folder, 'patches'), quotaBytes: 2 ** 30 },
    ...{ verifier: createSignatureVerifier(), clock: systemClock },
  })
  components = {
    ...{ library, runTraining, clock: systemClock, logger: quiet, identity: await createMemoryIdentity() },
    store: createInMemoryRunStore(kept),
    data: createDataSource({ directory: join(folder, 'uploads') }),
    models: {
      async open(name) {
        if (name === model.manifest.digest || name === model.manifest.name) return model
        throw new ModelNotFoundError(name)
      },
    },
    compute: createFakeEngines(createReferenceEngine()).compute,
    training: async () => createTrainingEngine(),
    nodeName: async () => 'somebody’s machine',
  }
})
afterEach(async () => {
  await library.close()
  kept[Symbol.dispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** Counting by threes: easy to learn. The tokenizer's words are numbers. */
function writeData(seed: number, name = 'numbers.txt'): string {
  const random = createRandom(seed)
  const texts = Array.from({ length: 24 }, () => {
    const first = Math.floor(random() * 24)
    return Array.from({ length: 12 }, (_, i) => (first + 3 * i) % 24).join(' ')
  })
  const file = join(folder, name)
  writeFileSync(file, `${texts.join('\n\n')}\n`)
  return file
}

const steps = { steps: 6, batchSize: 2, sequenceLength: 12 }

async function plan(changes: Partial<TrainInput> = {}): Promise<RunPlan> {
  const request = trainRequestSchema.parse({
    ...{ data: [{ kind: 'path', path: writeData(3) }], title: 'Threes', licence: 'MIT', dataDescription: 'By threes' },
    hyperParameters: { ...steps, learningRate: 0.02 },
    mask: { keepRatio: 0.05, fisher: { kind: 'empirical', examples: 4, trialSteps: 0 } },
    ...changes,
  })
  const machine = async () => ({ threads: 1, memoryLimitBytes: null })
  const planned = await planRun(
    { ...components, store: createInMemoryRunStore(kept), machine, dateMs: () => 1_700_000_000_000 },
    { ...request, model: model.manifest.name },
  )
  return { ...planned, checkpointEvery: 2 }
}

interface Watched {
  readonly outcome: Promise<CarriedOut>
  readonly events: RunEvent[]
}

function carryOut(
  planned: RunPlan,
  changes: Partial<CarryOutOptions> = {},
  onEvent?: (event: RunEvent) => void,
): Watched {
  const events: RunEvent[] = []
  const never = new AbortController().signal
  const outcome = createCarryOut(components)(
    { id, plan: planned },
    {
      ...{ signal: never, finish: never, resume: null, gate: async (signal) => signal.throwIfAborted() },
      async onEvent(event) {
        events.push(event)
        onEvent?.(event)
      },
      ...changes,
    },
  )
  return { outcome, events }
}

describe('carrying out a run', () => {
  test('leaves a signed patch in the library that says where it comes from', async () => {
    const planned = await plan()
    const { outcome, events } = carryOut(planned)
    const { result } = await outcome
    const phases = events.flatMap((event) => (event.type === 'phase' ? [event.phase] : []))
    expect(phases).toEqual([...['preparing', 'measuring', 'choosing', 'training', 'evaluating', 'sampling', 'writing']])
    const patch = await library.get(result.patch)
    expect(patch).toMatchObject({ where: 'mine', complete: true, sizeBytes: result.patchBytes })
    expect(patch.header).toMatchObject({
      ...{ title: 'Threes', licence: 'MIT', origin: 'train', createdAtMs: 1_700_000_000_000 },
      base: { digest: model.manifest.digest, name: model.manifest.name },
      author: { peerId: components.identity.peerId, name: 'somebody’s machine' },
      data: { ...planned.data, description: 'By threes' },
      training: { method: 'fish', hyperParameters: { learningRate: 0.02 } },
    })
    expect(patch.header.metrics.map(({ name }) => name)).toEqual(['held-out-loss', 'base-text-loss'])
    expect(result.metrics).toEqual(patch.header.metrics)
    expect(result.samples.length).toBeGreaterThan(0)
    for (const { prompt, before, after } of result.samples) {
      expect(prompt).toMatch(/\d/)
      expect(before).toMatch(/\d/)
      expect(after).toMatch(/\d/)
    }
  })

  test('comes to the same patch wherever it is cut off and goes on, the base’s own text included', async () => {
    const planned = await plan({
      protection: { kind: 'own-text', share: 0.4 },
      hyperParameters: { ...steps, learningRate: null },
    })
    const whole = carryOut(planned)
    const expected = (await whole.outcome).result
    // As if the program had ended there: the run goes on from the newest checkpoint, another folder would be another run.
    const moments = whole.events.length
    for (let moment = 0; moment < moments; moment += Math.max(1, Math.floor(moments / 12))) {
      await components.store.directory(id).then((directory) => rmSync(directory, { recursive: true }))
      let seen = 0
      let checkpoint: Uint8Array | null = null
      const cut = new AbortController()
      const first = carryOut(planned, { signal: cut.signal }, (event) => {
        if (seen++ === moment) cut.abort()
        if (event.type === 'checkpoint' && !cut.signal.aborted) checkpoint = event.bytes
        cut.signal.throwIfAborted()
      })
      await expect(first.outcome, `cut at ${moment}`).rejects.toMatchObject({ name: 'AbortError' })
      const { result } = await carryOut(planned, { resume: checkpoint }).outcome
      expect(result, `cut at ${moment}`).toEqual(expected)
    }
  })

  test('stands on other patches, and takes their mask', async () => {
    const first = await carryOut(await plan()).outcome
    const parent = await library.get(first.result.patch)
    // A patch is named where its mask is meant: understood.
    const planned = await plan({ parents: [parent.digest], sharedMask: parent.digest })
    expect(planned.request.sharedMask).toBe(parent.header.maskDigest)
    const { result } = await carryOut(planned).outcome
    const { header } = await library.get(result.patch)
    expect(header).toMatchObject({ sharedMask: true, maskDigest: parent.header.maskDigest, parents: [parent.digest] })
    expect((await library.read(result.patch)).deltas.map(({ indices }) => [...indices])).toEqual(
      (await library.read(parent.digest)).deltas.map(({ indices }) => [...indices]),
    )
    // It is measured against its parent, not against the base.
    const loss = (metrics: typeof result.metrics) => metrics.find(({ name }) => name === 'held-out-loss')
    expect(loss(result.metrics)?.before).toBeCloseTo(loss(first.result.metrics)?.after ?? 0, 5)
  })

  test('measures text that the owner says is of the base’s kind', async () => {
    const files = [{ kind: 'path' as const, path: writeData(8, 'base.txt') }]
    const { outcome } = carryOut(await plan({ protection: { kind: 'files', share: 0.5, files } }))
    expect((await outcome).result.metrics.map(({ name }) => name)).toContain('base-text-loss')
  })

  test('makes the patch without samples when none can be written', async () => {
    const engines = createFakeEngines(createReferenceEngine()).compute
    let asked = 0
    components = {
      ...components,
      compute: {
        choose: engines.choose,
        engine: async (backend) => {
          if (++asked > 1) throw new Error('no more')
          return await engines.engine(backend)
        },
      },
    }
    const { result } = await carryOut(await plan()).outcome
    expect(result.samples).toEqual([])
    expect(await library.get(result.patch)).toMatchObject({ complete: true })
  })

  test('names what is missing', async () => {
    const planned = await plan()
    components = { ...components, training: async () => null }
    await expect(carryOut(planned).outcome).rejects.toMatchObject({ code: 'engine-failed' })
    const gone = { ...planned, base: { ...planned.base, digest: planned.data.digest } }
    await expect(carryOut(gone).outcome).rejects.toMatchObject({ code: 'model-not-found' })
    await expect(plan({ parents: [planned.data.digest] })).rejects.toMatchObject({ code: 'patch-not-found' })
    await expect(plan({ sharedMask: planned.data.digest })).rejects.toMatchObject({ code: 'patch-not-found' })
  })
})
