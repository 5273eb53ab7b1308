/** Training runs of a node that lives in memory: one in every state, and a desk on which a new one runs to its end. */
import type { TrainingDesk } from '#app/training-desk.ts'
import type { PatchDetail } from '#contracts/api/patches.ts'
import {
  type CurvePoint,
  type DataInspectEvent,
  type DataPreview,
  type DataWarning,
  type RunDetail,
  type RunPhase,
  type RunPlan,
  type RunProgress,
  type RunState,
  type RunSummary,
  runPhases,
  type TrainRequest,
  trainRequestSchema,
} from '#contracts/api/training.ts'
import { CodedError, type ErrorCode, type ErrorParams } from '#contracts/errors.ts'
import { digestOf } from './in-memory-identities.ts'
import { createNews, pause } from './in-memory-news.ts'
import { dataCard, hyperParameters, makePatch, metrics, seedlingParameters } from './in-memory-node-patches.ts'

export type TrainingScenario = {
  readonly runs: readonly RunDetail[]
  /** Said of every text, besides what is found in it. */
  readonly warnings: readonly DataWarning[]
  /** A text cannot be read. */
  readonly badData: { readonly code: ErrorCode; readonly params: ErrorParams } | null
  /** The policy allows no run more memory than this. */
  readonly memoryLimitBytes: number
}

const MiB = 1024 ** 2

/** For tests and addresses: which run is in which state. */
export const runIds = {
  training: '5b0e7c1a-0001-4000-8000-000000000001',
  choosing: '5b0e7c1a-0002-4000-8000-000000000002',
  battery: '5b0e7c1a-0003-4000-8000-000000000003',
  paused: '5b0e7c1a-0004-4000-8000-000000000004',
  failed: '5b0e7c1a-0005-4000-8000-000000000005',
  stopped: '5b0e7c1a-0006-4000-8000-000000000006',
  finished: '5b0e7c1a-0007-4000-8000-000000000007',
} as const

const steps = 400
const evaluateEvery = 20

/** A loss that falls as losses do, the held-out one a little less. */
function curveTo(last: number): CurvePoint[] {
  return Array.from({ length: Math.floor(last / 4) + 1 }, (_, at) => {
    const step = at * 4
    const wobble = Math.sin(step * 1.7) * 0.05 + Math.sin(step * 0.61) * 0.04
    const train = step === 0 ? null : 3.86 + 0.95 * Math.exp(-step / 90) + wobble
    const heldOut =
      step % evaluateEvery === 0 ? 4.06 + 0.73 * Math.exp(-step / 80) + (step > 300 ? (step - 300) * 0.0003 : 0) : null
    return { step, train, heldOut, learningRate: 3e-3 * (1 - step / steps) }
  })
}

function progressAt(phase: RunPhase, change: Partial<RunProgress> = {}): RunProgress {
  const base = { phase, done: 0, total: 0, step: 0, steps, tokensPerSecond: null, remainingSeconds: null }
  return { ...base, resumedFromStep: null, ...change }
}

export function planOf(request: TrainRequest, nowMs: number, memoryLimitBytes: number): RunPlan {
  const share = request.method === 'full' ? 1 : request.method === 'ia3' ? 0.0016 : (request.mask.keepRatio ?? 0.005)
  const trainedParameters = Math.round(seedlingParameters * share)
  const hyper = { ...hyperParameters(1e-3), ...withoutUndefined(request.hyperParameters) }
  const valueBytes = { int8: 1, float16: 2, bfloat16: 2, float32: 4 }[request.valueFormat]
  const memoryBytes = Math.round(38 * MiB + hyper.batchSize * 0.9 * MiB + trainedParameters * 16)
  const protects = request.protection.kind === 'none' ? 1 : 1.3
  return {
    request,
    base: { digest: digestOf(4), name: 'seedling' },
    objective: 'language-model',
    data: { ...dataCard, description: request.dataDescription, licence: request.dataLicence },
    warnings: [],
    mask:
      request.method === 'fish'
        ? {
            keepRatio: share,
            quota: request.mask.quota ?? 'joint',
            scope: request.mask.scope ?? 'all',
            head: request.mask.head ?? 'in-budget',
            fisher: request.mask.fisher ?? { kind: 'empirical', examples: 256, trialSteps: 0 },
          }
        : null,
    hyperParameters: { ...hyper, learningRate: request.hyperParameters.learningRate, protectedShare: 0 },
    trainedParameters,
    threads: 2,
    evaluateEvery,
    checkpointEvery: evaluateEvery,
    createdAtMs: nowMs,
    predicted: {
      memoryBytes,
      seconds: Math.round(hyper.steps * hyper.batchSize * 0.11 * protects),
      patchBytes: Math.round(1_400 + trainedParameters * (valueBytes + (share < 1 ? 1 : 0))),
      diskBytes: 2 * trainedParameters * 12,
    },
    obstacles:
      memoryBytes > memoryLimitBytes
        ? [{ code: 'budget-exceeded', params: { neededBytes: memoryBytes, limitBytes: memoryLimitBytes } }]
        : [],
  }
}

function withoutUndefined<T extends object>(of: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined && value !== null)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}

function requestOf(title: string): TrainRequest {
  return trainRequestSchema.parse({ title, data: [{ kind: 'path', path: '/home/you/texts/moby-dick.txt' }] })
}

const probes = [
  { learningRate: 3e-4, heldOutLoss: 4.71 },
  { learningRate: 1e-3, heldOutLoss: 4.6 },
  { learningRate: 3e-3, heldOutLoss: 4.52 },
  { learningRate: 1e-2, heldOutLoss: null },
]

const samples = [
  {
    prompt: 'The old captain looked',
    before: ' at the big tree. He was very happy. "Can I play with you?" he asked the little bird.',
    after:
      ' upon the sea, and said nothing; for the wind was in the west, and all the ship lay still beneath the moon.',
  },
  {
    prompt: 'There was no sound but',
    before: ' the sun was shining. They liked to play in the park with their friends.',
    after: ' the low long rolling of the waters, and now and then the creaking of the mast above us.',
  },
]

function runOf(
  id: string,
  title: string,
  state: RunState,
  progress: RunProgress | null,
  createdAtMs: number,
): RunDetail {
  const trained = progress?.step ?? 0
  const plan = planOf(requestOf(title), createdAtMs, 1e12)
  const { base, request } = plan
  const isFinished = state.kind === 'finished'
  const isProbed = trained > 0 || isFinished
  return {
    id,
    title,
    base,
    method: request.method,
    createdAtMs,
    state,
    progress,
    plan: { ...plan, hyperParameters: { ...plan.hyperParameters, learningRate: isProbed ? 3e-3 : null } },
    curve: trained > 0 || isFinished ? curveTo(isFinished ? steps : trained) : [],
    probes: isProbed ? probes : [],
    result: isFinished
      ? { patch: state.patch, patchBytes: 18_790, metrics: [...metrics], samples, roundingLoss: 0.004, seconds: 356 }
      : null,
  }
}

export function ordinaryRuns(nowMs: number): TrainingScenario {
  const minute = 60_000
  const at = (step: number, change: Partial<RunProgress> = {}) =>
    progressAt('training', { done: step, total: steps, step, tokensPerSecond: 812.4, ...change })
  const why = { code: 'training-failed', params: { what: 'the loss of step 61 is not a number' } } as const
  return {
    runs: [
      runOf(
        runIds.training,
        'Letters to my sister',
        { kind: 'running', phase: 'training' },
        at(148, { remainingSeconds: 232 }),
        nowMs - 4 * minute,
      ),
      runOf(
        runIds.choosing,
        'Field notes',
        { kind: 'running', phase: 'choosing' },
        progressAt('choosing', { done: 78, total: 256, remainingSeconds: 41 }),
        nowMs - 9 * minute,
      ),
      runOf(
        runIds.battery,
        'Recipes',
        { kind: 'waiting', reason: 'on-battery' },
        at(60, { tokensPerSecond: null, resumedFromStep: 60 }),
        nowMs - 40 * minute,
      ),
      runOf(
        runIds.paused,
        'Minutes of the choir',
        { kind: 'paused' },
        at(220, { tokensPerSecond: null }),
        nowMs - 90 * minute,
      ),
      runOf(
        runIds.failed,
        'Poems',
        { kind: 'failed', code: why.code, params: { ...why.params } },
        at(60, { tokensPerSecond: null }),
        nowMs - 200 * minute,
      ),
      runOf(
        runIds.stopped,
        'Poems, first try',
        { kind: 'stopped' },
        at(12, { tokensPerSecond: null }),
        nowMs - 300 * minute,
      ),
      runOf(
        runIds.finished,
        'Whale songs',
        { kind: 'finished', patch: digestOf(702), earlyStopped: true },
        null,
        nowMs - 1_500 * minute,
      ),
    ],
    warnings: [],
    badData: null,
    memoryLimitBytes: 1_200 * MiB,
  }
}

type Components = {
  readonly paceMs: number
  readonly nowMs: () => number
  readonly self: { readonly peerId: string; readonly name: string }
  readonly addPatch: (detail: PatchDetail) => void
}

type Wish = 'pause' | 'stop' | 'finish' | null

export function createInMemoryTraining(scenario: TrainingScenario, components: Components): TrainingDesk {
  const { paceMs, nowMs, addPatch } = components
  const uploads = new Map<string, { name: string; byteLength: number; text: string }>()
  const wishes = new Map<string, Wish>()
  const news = createNews()
  let runs = new Map(scenario.runs.map((run) => [run.id as string, run]))

  function find(id: string): RunDetail {
    const run = runs.get(id)
    if (run === undefined) throw new CodedError('run-not-found', `no run called ${id}`, { run: id })
    return run
  }

  function put(run: RunDetail): RunSummary {
    runs = new Map(runs).set(run.id, run)
    news.tell()
    return summaryOf(run)
  }

  function readText(id: string): string {
    const upload = uploads.get(id)
    if (upload === undefined)
      throw new CodedError('data-format', 'an upload is not here', {
        where: 'the upload',
        what: 'it is not here any more',
      })
    return upload.text
  }

  async function* inspect(
    { files }: Parameters<TrainingDesk['inspect']>[0],
    signal?: AbortSignal,
  ): AsyncGenerator<DataInspectEvent, void, undefined> {
    const text = files
      .map((file) => (file.kind === 'upload' ? readText(file.id) : 'A file of the machine.\n\n'.repeat(400)))
      .join('\n\n')
    const bytesTotal = text.length
    for (const share of [0.25, 0.5, 0.75, 1]) {
      yield { type: 'progress', bytesDone: Math.round(bytesTotal * share), bytesTotal }
      await pause(paceMs * 2, signal)
    }
    if (scenario.badData !== null) {
      yield {
        type: 'error',
        code: scenario.badData.code,
        params: structuredClone(scenario.badData.params) as Record<string, string>,
      }
      return
    }
    const names = files.map((file) => (file.kind === 'upload' ? (uploads.get(file.id)?.name ?? '') : file.path))
    yield { type: 'done', preview: preview(text, names, scenario.warnings) }
  }

  /** As a real run would go, at the pace of the scenario. */
  async function live(id: string): Promise<void> {
    for (const phase of runPhases) {
      const total = phase === 'training' ? find(id).plan.hyperParameters.steps : phase === 'choosing' ? 256 : 4
      const ticks = phase === 'training' ? 20 : 2
      for (let tick = 1; tick <= ticks; tick += 1) {
        await pause(paceMs, undefined)
        if (!(await mayGoOn(id))) return
        const run = runs.get(id)
        if (run === undefined) return
        const done = Math.round((total * tick) / ticks)
        const step = phase === 'training' ? done : (run.progress?.step ?? 0)
        const progress = progressAt(phase, {
          done,
          total,
          step,
          steps: run.plan.hyperParameters.steps,
          tokensPerSecond: phase === 'training' ? 812.4 : null,
          remainingSeconds: phase === 'training' ? (ticks - tick) * 3 : null,
        })
        const curve = phase === 'training' ? curveTo(step) : run.curve
        put({ ...run, state: { kind: 'running', phase }, progress, curve, probes: step > 0 ? probes : run.probes })
        if (phase === 'training' && wishes.get(id) === 'finish') break
      }
    }
    finish(id)
  }

  /** False when it was stopped; waits while it is paused. */
  async function mayGoOn(id: string): Promise<boolean> {
    for await (const _ of news.changes(undefined)) {
      const wish = wishes.get(id) ?? null
      if (wish === 'stop' || !runs.has(id)) return false
      if (wish !== 'pause') return true
    }
    return false
  }

  function finish(id: string): void {
    const run = find(id)
    const seed = 40 + runs.size
    const patch = makePatch({
      seed,
      title: run.title,
      nowMs: nowMs(),
      where: 'mine',
      author: components.self,
      description: run.plan.request.description,
      method: run.method,
    })
    addPatch({ ...patch, summary: { ...patch.summary, addedAtMs: nowMs() } })
    const { digest } = patch.summary
    const result = {
      patch: digest,
      patchBytes: patch.summary.sizeBytes,
      metrics: [...metrics],
      samples,
      roundingLoss: 0.004,
      seconds: 61,
    }
    put({ ...run, state: { kind: 'finished', patch: digest, earlyStopped: false }, progress: null, result })
  }

  const start: TrainingDesk['start'] = async (request) => {
    const plan = planOf(request, nowMs(), scenario.memoryLimitBytes)
    const [obstacle] = plan.obstacles
    if (obstacle !== undefined) throw new CodedError(obstacle.code, 'an obstacle', obstacle.params)
    const { title, method } = request
    const id = `5b0e7c1a-1000-4000-8000-${`${runs.size}`.padStart(12, '0')}`
    const begun = {
      id,
      title,
      base: plan.base,
      method,
      createdAtMs: nowMs(),
      state: { kind: 'running', phase: 'preparing' },
    } as const
    const summary = put({ ...begun, progress: null, plan, curve: [], probes: [], result: null })
    void live(id)
    return summary
  }

  return {
    async upload({ id, name, offset, bytes }) {
      const key = id ?? crypto.randomUUID()
      const before = uploads.get(key) ?? { name, byteLength: 0, text: '' }
      if (before.byteLength !== offset)
        throw new CodedError('invalid-input', 'a gap', { where: 'offset', what: `expected ${before.byteLength}` })
      const piece = atob(bytes)
      const upload = { name, byteLength: offset + piece.length, text: before.text + piece }
      uploads.set(key, upload)
      await pause(paceMs, undefined)
      return { id: key, name, byteLength: upload.byteLength }
    },
    inspect,
    async plan(request, signal) {
      await pause(paceMs, signal)
      return planOf(request, nowMs(), scenario.memoryLimitBytes)
    },
    start,
    runs: async () => [...runs.values()].map(summaryOf),
    show: async (id) => find(id),
    async *watch(id, signal) {
      find(id)
      for await (const _ of news.changes(signal)) {
        const run = runs.get(id)
        if (run === undefined) return
        yield run
      }
    },
    async act(id, action) {
      const run = find(id)
      const { state } = run
      if (state.kind === 'finished' && action !== 'remove') {
        throw new CodedError('run-state', 'it is over', { run: id, state: state.kind, wanted: action })
      }
      if (action === 'remove') {
        runs = new Map(runs)
        runs.delete(id)
        news.tell()
        return { run: null }
      }
      wishes.set(id, action === 'resume' ? null : action)
      if (action === 'pause') return { run: put({ ...run, state: { kind: 'paused' } }) }
      if (action === 'stop') return { run: put({ ...run, state: { kind: 'stopped' } }) }
      const phase = run.progress?.phase ?? 'preparing'
      return { run: put({ ...run, state: { kind: 'running', phase } }) }
    },
  }
}

function summaryOf({ id, title, base, method, createdAtMs, state, progress }: RunDetail): RunSummary {
  return { id, title, base, method, createdAtMs, state, progress }
}

function preview(text: string, names: readonly string[], more: readonly DataWarning[]): DataPreview {
  const documents = text.split(/\n{2,}/).filter((part) => part.trim() !== '')
  const unique = [...new Set(documents)]
  const heldOutExamples = Math.floor(unique.length / 10)
  const trainingExamples = unique.length - heldOutExamples
  const tokensOf = (share: number) => Math.round((text.length / 4.2) * share)
  const found: DataWarning[] = [...more]
  if (trainingExamples < 20) found.push({ kind: 'too-little', count: trainingExamples, where: null })
  if (/\w@\w/.test(text))
    found.push({ kind: 'email-addresses', count: text.match(/\w@\w/g)?.length ?? 0, where: `${names[0]}, line 3` })
  return {
    card: {
      ...dataCard,
      documents: unique.length,
      duplicatesDropped: documents.length - unique.length,
      trainingExamples,
      heldOutExamples,
      trainingTokens: tokensOf(0.9),
      heldOutTokens: tokensOf(0.1),
      description: '',
      licence: '',
    },
    objective: 'language-model',
    files: names.map((name) => ({
      name: name.slice(0, 300),
      format: 'text',
      bytes: text.length,
      documents: unique.length,
    })),
    samples: unique.slice(0, 3).map((part, at) => ({
      where: `${names[0]?.slice(0, 200)}, line ${at * 4 + 1}`,
      heldOut: at === 2,
      text: part.slice(0, 600),
    })),
    warnings: found,
  }
}
