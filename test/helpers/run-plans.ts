/** Plans and runs as tests want them. */
import { randomUUID } from 'node:crypto'
import { type RunPlan, runPlanSchema, type TrainInput, trainRequestSchema } from '#contracts/api/training.ts'
import { digestSchema } from '#contracts/digest.ts'
import type { StoredRun } from '#core/ports/run-store.ts'

export const someDigest = digestSchema.parse('5a'.repeat(32))
export const otherDigest = digestSchema.parse('c3'.repeat(32))

export function aPlan(changes: Partial<RunPlan> = {}, request: Partial<TrainInput> = {}): RunPlan {
  return runPlanSchema.parse({
    request: trainRequestSchema.parse({ data: [{ kind: 'path', path: '/data.txt' }], title: 'A whale', ...request }),
    base: { digest: someDigest, name: 'seedling' },
    objective: 'language-model',
    data: {
      digest: otherDigest,
      formats: ['text'],
      documents: 30,
      duplicatesDropped: 0,
      trainingExamples: 27,
      heldOutExamples: 3,
      trainingTokens: 2_700,
      heldOutTokens: 300,
      description: '',
      licence: '',
      warnings: [],
    },
    warnings: [],
    mask: null,
    hyperParameters: {
      steps: 10,
      batchSize: 2,
      sequenceLength: 16,
      learningRate: 0.001,
      schedule: 'constant',
      warmup: 0,
      beta1: 0.9,
      beta2: 0.99,
      epsilon: 1e-8,
      weightDecay: 0,
      maximumNorm: 1,
      protectedShare: 0,
      seed: 1,
    },
    trainedParameters: 100,
    threads: 1,
    evaluateEvery: 5,
    checkpointEvery: 2,
    createdAtMs: 1_700_000_000_000,
    predicted: { memoryBytes: 1_000_000, seconds: null, patchBytes: 1_000, diskBytes: 10_000 },
    obstacles: [],
    ...changes,
  } satisfies RunPlan)
}

export function aStoredRun(changes: Partial<StoredRun> = {}): StoredRun {
  return {
    id: randomUUID(),
    plan: aPlan(),
    state: { kind: 'running', phase: 'preparing' },
    progress: null,
    probes: [],
    result: null,
    seconds: 0,
    ...changes,
  }
}
