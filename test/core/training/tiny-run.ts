/** A run small enough to be done many times: a tiny model, a language of a few numbers, a real trainee. */
import { type RunPlan, runPlanSchema, type TrainInput, trainRequestSchema } from '#contracts/api/training.ts'
import { digestSchema } from '#contracts/digest.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { DataCard } from '#contracts/patch-file/header.ts'
import type { TrainingEngine, TrainingExample } from '#core/ports/training-engine.ts'
import { makePlan } from '#core/training/make-plan.ts'
import type { PlanInput } from '#core/training/plan-types.ts'
import { runTraining } from '#core/training/run-training.ts'
import type {
  ChoiceExample,
  RunEvent,
  RunExamples,
  TrainingOutcome,
  TrainingRunComponents,
  TrainingRunOptions,
} from '#core/training/run-types.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { createRandom, randomModel, tinyConfig } from '#test/fakes/model-handle.ts'

export const smallConfig: ModelConfig = tinyConfig({
  blockCount: 2,
  hiddenSize: 16,
  intermediateSize: 24,
  headCount: 2,
  kvHeadCount: 1,
  headSize: 8,
  contextLength: 64,
})

/** Counting up by `stride`: something to be learnt. */
export function countingTexts(count: number, seed: number, stride = 3): TrainingExample[] {
  const random = createRandom(seed)
  return Array.from({ length: count }, () => {
    const start = Math.floor(20 + 20 * random())
    return { tokens: Array.from({ length: 9 + (start % 4) }, (_, i) => (start + i * stride) % 40) }
  })
}

/** Which number comes next? The choices' last three tokens are their own. */
export function countingQuestions(count: number, seed: number): ChoiceExample[] {
  return countingTexts(count, seed).map(({ tokens }, i) => {
    const question = tokens.slice(0, 5)
    const choices = [3, 1, 2].map((stride) => {
      const last = question.at(-1) ?? 0
      const all = [...question, ...[1, 2, 3].slice(0, 1 + (i % 3)).map((k) => (last + k * stride) % 40)]
      return { tokens: all, targetWeights: Float32Array.from(all.slice(1), (_, t) => Number(t >= 4)) }
    })
    const answer = i % 3
    return { choices: [...choices.slice(3 - answer), ...choices.slice(0, 3 - answer)], answer }
  })
}

export const textExamples: RunExamples = {
  objective: 'language-model',
  train: countingTexts(24, 1),
  heldOut: countingTexts(20, 2),
}
export const questionExamples: RunExamples = {
  objective: 'multiple-choice',
  train: countingQuestions(18, 3),
  heldOut: countingQuestions(20, 4),
}

export const dataCard: DataCard = {
  digest: digestSchema.parse('d'.repeat(64)),
  formats: ['text'],
  documents: 44,
  duplicatesDropped: 0,
  trainingExamples: 24,
  heldOutExamples: 20,
  trainingTokens: 240,
  heldOutTokens: 200,
  description: '',
  licence: '',
  warnings: [],
}

export type PlanChanges = Omit<Partial<TrainInput>, 'data' | 'title'>

export function planInput(changes: PlanChanges = {}, input: Partial<PlanInput> = {}): PlanInput {
  const data = [{ kind: 'path', path: '/data.txt' }] as const
  return {
    request: trainRequestSchema.parse({ title: 'Counting', data, ...changes }),
    base: randomModel(smallConfig, 1).manifest,
    objective: 'language-model',
    data: dataCard,
    warnings: [],
    sharedMask: null,
    machine: { threads: 1, memoryLimitBytes: null, operationsPerSecond: null },
    createdAtMs: 0,
    ...input,
  }
}

/** Twelve steps of batches of four, measured every third and kept every fourth. */
export function tinyPlan(changes: PlanChanges = {}, input: Partial<PlanInput> = {}): RunPlan {
  const { hyperParameters, mask, ...others } = changes
  const plan = makePlan(
    planInput(
      {
        mask: { keepRatio: 0.05, fisher: { kind: 'empirical', examples: 10, trialSteps: 2 }, ...mask },
        hyperParameters: { steps: 12, batchSize: 4, ...hyperParameters },
        ...others,
      },
      input,
    ),
  )
  return runPlanSchema.parse({ ...plan, evaluateEvery: 3, checkpointEvery: 4 })
}

export interface RunChanges {
  readonly components?: Partial<TrainingRunComponents>
  readonly options?: Partial<TrainingRunOptions>
}

export function tinyComponents(changes: Partial<TrainingRunComponents> = {}): TrainingRunComponents {
  return {
    engine: createTrainingEngine(),
    model: randomModel(smallConfig, 1),
    on: [],
    examples: textExamples,
    baseText: { train: countingTexts(6, 5, 1), heldOut: countingTexts(6, 6, 1) },
    mask: null,
    clock: { now: () => Date.now(), monotonicMs: () => performance.now() },
    gate: async () => {},
    ...changes,
  }
}

export async function runTiny(
  plan: RunPlan,
  { components = {}, options = {} }: RunChanges = {},
): Promise<{ readonly outcome: TrainingOutcome; readonly events: readonly RunEvent[] }> {
  const events: RunEvent[] = []
  const outcome = await runTraining(tinyComponents(components), plan, {
    signal: new AbortController().signal,
    finish: new AbortController().signal,
    resume: null,
    onEvent: async (event) => {
      events.push(event)
      await options.onEvent?.(event)
    },
    ...withoutListener(options),
  })
  return { outcome, events }
}

/** Counts trainees that were not given back. */
export function watchedEngine(inner: TrainingEngine = createTrainingEngine()): TrainingEngine & { alive(): number } {
  let alive = 0
  return {
    backend: inner.backend,
    alive: () => alive,
    async loadTrainee(model, init) {
      const trainee = await inner.loadTrainee(model, init)
      alive++
      return {
        ...withPrototype(trainee),
        async dispose() {
          alive--
          await trainee.dispose()
        },
      }
    },
  }
}

function withPrototype<T extends object>(value: T): T {
  return Object.create(value, Object.getOwnPropertyDescriptors(value)) as T
}

function withoutListener({ onEvent: _, ...options }: Partial<TrainingRunOptions>): Partial<TrainingRunOptions> {
  return options
}
