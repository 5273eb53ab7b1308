import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createDataSource } from '#adapters/datasets/data-source.ts'
import type { Runs } from '#app/runs/runs.ts'
import { createTrainingDesk, type TrainingDesk } from '#app/training-desk.ts'
import {
  type DataInspectEvent,
  type RunPlan,
  type TrainInput,
  type TrainRequest,
  trainRequestSchema,
} from '#contracts/api/training.ts'
import { ModelNotFoundError, PatchNotFoundError } from '#core/errors.ts'
import { createInMemoryRunStore, createKeptRuns, type KeptRuns } from '#test/fakes/in-memory-run-store.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { aPlan, aStoredRun } from '#test/helpers/run-plans.ts'

const model = randomModel(tinyConfig({ blockCount: 1, contextLength: 48 }), 5)
const id = '12345678-1234-4234-8234-123456789abc'
const numbers = Array.from({ length: 20 }, (_, i) => `${i} ${i + 1} ${i + 2} ${i + 3}`).join('\n\n')

let folder: string
let kept: KeptRuns & Disposable
let added: { id: string; plan: RunPlan }[]
let memoryLimitBytes: number | null

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quiltbee-desk-'))
  kept = createKeptRuns()
  added = []
  memoryLimitBytes = null
})
afterEach(() => {
  kept[Symbol.dispose]()
  rmSync(folder, { recursive: true, force: true })
})

function openDesk(add?: Runs['add']): TrainingDesk {
  const runs = {
    async add(newId: string, plan: RunPlan) {
      added.push({ id: newId, plan })
      const { request, base, createdAtMs } = plan
      const state = { kind: 'running', phase: 'preparing' } as const
      return { id: newId, title: request.title, base, method: request.method, createdAtMs, state, progress: null }
    },
    ...(add && { add }),
  } as Partial<Runs> as Runs
  return createTrainingDesk(
    {
      ...{ runs, store: createInMemoryRunStore(kept), dateMs: () => 1_000, newRunId: () => id },
      data: createDataSource({ directory: join(folder, 'uploads') }),
      machine: async () => ({ threads: 2, memoryLimitBytes }),
      library: {
        get: async (name) => Promise.reject(new PatchNotFoundError(name)),
        withMask: async () => null,
      },
      models: {
        async open(name) {
          if (name === 'tiny' || name === model.manifest.digest) return model
          throw new ModelNotFoundError(name)
        },
      },
    },
    { model: 'tiny' },
  )
}

async function upload(desk: TrainingDesk, text: string, name = 'numbers.txt'): Promise<TrainRequest['data']> {
  const bytes = Buffer.from(text)
  const half = bytes.length >> 1
  const first = await desk.upload({ id: null, name, offset: 0, bytes: bytes.subarray(0, half).toString('base64') })
  await desk.upload({ id: first.id, name, offset: half, bytes: bytes.subarray(half).toString('base64') })
  return [{ kind: 'upload', id: first.id }]
}

const requestFor = (data: TrainRequest['data'], changes: Partial<TrainInput> = {}) =>
  trainRequestSchema.parse({ data, title: 'Numbers', ...changes })

async function inspected(desk: TrainingDesk, request: { data: TrainRequest['data']; model?: string }) {
  const events: DataInspectEvent[] = []
  for await (const event of desk.inspect({ model: request.model ?? null, files: request.data, sequenceLength: null })) {
    events.push(event)
  }
  return events
}

describe('the training desk', () => {
  test('says what is in uploaded data, and how far it has read', async () => {
    const desk = openDesk()
    const events = await inspected(desk, { data: await upload(desk, numbers) })
    expect(events.at(-1)).toMatchObject({
      type: 'done',
      preview: { objective: 'language-model', files: [{ name: 'numbers.txt', format: 'text' }] },
    })
    expect(events.filter(({ type }) => type === 'progress').length).toBeGreaterThan(0)
  })

  test('ends a look at data with one error event when there is nothing in it, or no such model', async () => {
    const desk = openDesk()
    const empty = await upload(desk, ' \n ')
    expect((await inspected(desk, { data: empty })).at(-1)).toMatchObject({ type: 'error', code: 'data-format' })
    expect((await inspected(desk, { data: empty, model: 'nobody' })).at(-1)).toMatchObject({
      ...{ type: 'error', code: 'model-not-found' },
    })
  })

  test('plans for the model that is meant, on the threads there are', async () => {
    const desk = openDesk()
    const plan = await desk.plan(requestFor(await upload(desk, numbers)))
    expect(plan).toMatchObject({
      ...{ base: { digest: model.manifest.digest }, threads: 2, createdAtMs: 1_000, obstacles: [] },
      data: { documents: 1 },
    })
    expect(added).toEqual([])
  })

  test('keeps a copy of the data, so that the originals may vanish', async () => {
    const desk = openDesk()
    const original = join(folder, 'mine.txt')
    writeFileSync(original, numbers)
    const base = await upload(desk, `${numbers}\n`, 'base.txt')
    await desk.start(
      requestFor([{ kind: 'path', path: original }], { protection: { kind: 'files', share: 0.5, files: base } }),
    )
    rmSync(original)
    const request = added[0]?.plan.request
    const files = [...(request?.data ?? []), ...(request?.protection.kind === 'files' ? request.protection.files : [])]
    const copies = files.map((file) => (file.kind === 'path' ? file.path : ''))
    expect(copies.every((copy) => copy.startsWith(join(kept.folder, id)))).toBe(true)
    expect(copies.map((copy) => readFileSync(copy, 'utf8'))).toEqual([numbers, `${numbers}\n`])
  })

  test('starts nothing over an obstacle, and names it', async () => {
    const desk = openDesk()
    const request = requestFor(await upload(desk, numbers))
    memoryLimitBytes = 1_000
    expect((await desk.plan(request)).obstacles).toMatchObject([{ code: 'budget-exceeded' }])
    await expect(desk.start(request)).rejects.toMatchObject({
      ...{ code: 'budget-exceeded', params: { limitBytes: 1_000 } },
    })
    expect(added).toEqual([])
    expect(existsSync(join(kept.folder, id))).toBe(false)
  })

  test('leaves nothing behind when a run cannot be added', async () => {
    const desk = openDesk(async () => Promise.reject(new Error('disk full')))
    await expect(desk.start(requestFor(await upload(desk, numbers)))).rejects.toThrow('disk full')
    expect(existsSync(join(kept.folder, id))).toBe(false)
  })

  test('knows from the newest run how fast this machine trains', async () => {
    const desk = openDesk()
    const request = requestFor(await upload(desk, numbers))
    expect((await desk.plan(request)).predicted.seconds).toBeNull()
    const base = { digest: model.manifest.digest, name: 'tiny' }
    const progress = {
      ...{ phase: 'training' as const, done: 5, total: 5, step: 5, steps: 5 },
      ...{ tokensPerSecond: 1_000, remainingSeconds: 0, resumedFromStep: null },
    }
    await createInMemoryRunStore(kept).create(aStoredRun({ plan: aPlan({ base }), progress }))
    expect((await desk.plan(request)).predicted.seconds).toBeGreaterThan(0)
  })
})
