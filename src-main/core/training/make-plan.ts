/**
 * From what the owner wants to what will be done, and what that is expected to take: decided before anything starts, kept
 * with the run, and never changed after. Pure.
 */
import type { RunPlan } from '#contracts/api/training.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { type HyperParameters, type MaskChoice, usualFisher } from '#contracts/patch-file/header.ts'
import { probeSteps, ratesToProbe } from './learning-rates.ts'

import { countTrained, sizesOf } from './plan-sizes.ts'
import type { PlanInput } from './plan-types.ts'
import { predictMemory, predictPatchBytes, predictRunBytes } from './predict-bytes.ts'
import { predictSeconds, secondsPerStep } from './predict-seconds.ts'

/** Windows of text: half of the context, from 8 to 256 tokens. Ask for the data in this length unless the owner chose one. */
export function defaultSequenceLength({ contextLength }: Pick<ModelConfig, 'contextLength'>): number {
  return Math.min(256, Math.max(Math.min(8, contextLength), Math.floor(contextLength / 2)))
}

export function makePlan(input: PlanInput): RunPlan {
  const { request, base, data, machine } = input
  const mask = maskOf(input)
  const hyperParameters = hyperParametersOf(input)
  const sizes = sizesOf(request.method, base.config, mask, input.sharedMask)
  const evaluateEvery = Math.max(1, Math.round(hyperParameters.steps / evaluations))
  const work = {
    input,
    mask,
    hyperParameters,
    sizes,
    evaluateEvery,
    probes: probesOf(hyperParameters, base.config, input),
  }
  const stepSeconds = secondsPerStep(work)
  const patchBytes = predictPatchBytes(sizes, request, input.sharedMask !== null)
  const memoryBytes = predictMemory(base.config, sizes, hyperParameters, request.method === 'random' ? null : mask)
  return {
    request,
    base: { digest: base.digest, name: base.name },
    objective: input.objective,
    data,
    warnings: [...input.warnings],
    mask,
    hyperParameters,
    trainedParameters: countTrained(sizes),
    threads: machine.threads,
    evaluateEvery,
    checkpointEvery: checkpointInterval(hyperParameters.steps, stepSeconds),
    createdAtMs: input.createdAtMs,
    predicted: {
      memoryBytes,
      seconds: predictSeconds(work),
      patchBytes,
      diskBytes: predictRunBytes(sizes, data) + patchBytes,
    },
    obstacles: obstaclesTo(input, memoryBytes),
  }
}

/** Measurements of the held-out loss in a run. */
const evaluations = 20
const checkpointSeconds = 20

/** 0.5 % of everything, unless the owner says otherwise. */
function maskOf({ request, sharedMask }: PlanInput): MaskChoice | null {
  const { method, mask } = request
  if (sharedMask !== null || method === 'ia3' || method === 'full') return null
  return {
    keepRatio: mask.keepRatio ?? 0.005,
    quota: mask.quota ?? 'joint',
    scope: mask.scope ?? 'all',
    head: mask.head ?? 'in-budget',
    fisher: method === 'fish' ? (mask.fisher ?? usualFisher) : null,
  }
}

function hyperParametersOf({ request, base, data }: PlanInput): RunPlan['hyperParameters'] {
  const { hyperParameters: wanted, protection } = request
  const protectedShare = protection.kind === 'none' ? 0 : protection.share
  const batchSize = wanted.batchSize ?? 8
  return {
    steps: wanted.steps ?? defaultSteps(data.trainingExamples, batchSize * (1 - protectedShare)),
    batchSize,
    sequenceLength: Math.min(wanted.sequenceLength ?? defaultSequenceLength(base.config), base.config.contextLength),
    learningRate: wanted.learningRate,
    schedule: wanted.schedule ?? 'linear',
    warmup: wanted.warmup ?? 0.06,
    beta1: wanted.beta1 ?? 0.9,
    beta2: wanted.beta2 ?? 0.99,
    epsilon: wanted.epsilon ?? 1e-8,
    weightDecay: wanted.weightDecay ?? 0,
    maximumNorm: wanted.maximumNorm === undefined ? 1 : wanted.maximumNorm,
    protectedShare,
    seed: wanted.seed ?? 1,
  }
}

/** About three times through the data, within what is neither too little to learn nor too long to wait for. */
function defaultSteps(examples: number, examplesPerStep: number): number {
  return Math.min(2_000, Math.max(60, Math.ceil((3 * examples) / examplesPerStep)))
}

function probesOf(
  hyper: Pick<HyperParameters, 'steps'> & { learningRate: number | null },
  config: ModelConfig,
  { request, data }: PlanInput,
) {
  if (hyper.learningRate !== null || data.heldOutExamples === 0) return { rates: 0, steps: 0 }
  return { rates: ratesToProbe(request.method, 1, config).length, steps: probeSteps(hyper.steps) }
}

/** So that a crash costs little, and writing costs less. */
function checkpointInterval(steps: number, stepSeconds: number | null): number {
  if (stepSeconds === null) return Math.max(1, Math.round(steps / 20))
  return Math.min(steps, 200, Math.max(1, Math.round(checkpointSeconds / stepSeconds)))
}

function obstaclesTo(
  { request, base, data, sharedMask, machine }: PlanInput,
  neededBytes: number,
): RunPlan['obstacles'] {
  const obstacles: RunPlan['obstacles'] = []
  const limits = [request.limits.memoryBytes, machine.memoryLimitBytes].filter((limit) => limit !== null)
  const limitBytes = Math.min(...limits)
  if (neededBytes > limitBytes) obstacles.push({ code: 'budget-exceeded', params: { neededBytes, limitBytes } })
  if (data.trainingExamples === 0) {
    obstacles.push({ code: 'data-format', params: { where: 'data', what: 'no training examples' } })
  }
  if (sharedMask !== null && (request.method === 'ia3' || request.method === 'full')) {
    obstacles.push({ code: 'invalid-input', params: { where: 'sharedMask', what: `${request.method} has no mask` } })
  }
  const wanted = request.hyperParameters.sequenceLength ?? 0
  if (wanted > base.config.contextLength) {
    obstacles.push({ code: 'context-too-long', params: { wanted, maximum: base.config.contextLength } })
  }
  return obstacles
}
