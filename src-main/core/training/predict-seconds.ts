/** How long a run will take, from how fast this machine trains. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { TrainingMethod } from '#contracts/patch-file/header.ts'
import { splitSizes } from './held-out.ts'
import { probeJudges } from './learning-rates.ts'
import { modelParameterCount } from './mask.ts'
import type { PlannedWork } from './plan-types.ts'

/**
 * Operations of a token: 2 a number forward, 2 for the inputs' gradients, 2 for the numbers' own. The last third is left out
 * by (IA)³, and a mask does about a tenth of it (measured: 0.63 to 0.75 of a dense step; docs/decisions/0008).
 */
export function operationsPerToken(method: TrainingMethod, config: ModelConfig): number {
  return computedNumbers(config) * { full: 6, ia3: 4, fish: 4.3, random: 4.3, magnitude: 4.3 }[method]
}

/** Of a machine that trained at `tokensPerSecond`; what `PlanInput.machine` wants. */
export function operationsPerSecond(method: TrainingMethod, config: ModelConfig, tokensPerSecond: number): number {
  return tokensPerSecond * operationsPerToken(method, config)
}

export function secondsPerStep(work: PlannedWork): number | null {
  const { request, base, machine } = work.input
  if (machine.operationsPerSecond === null) return null
  const tokens = work.hyperParameters.batchSize * tokensPerItem(work)
  return (tokens * operationsPerToken(request.method, base.config)) / machine.operationsPerSecond
}

/** Of the whole run, the choice of the mask, tries of learning rates and all measurements included. */
export function predictSeconds(work: PlannedWork): number | null {
  const stepSeconds = secondsPerStep(work)
  const { machine, base, data } = work.input
  if (stepSeconds === null || machine.operationsPerSecond === null) return null
  const { steps } = work.hyperParameters
  const { rates, steps: probeSteps } = work.probes
  const { validation, test } = splitSizes(data.heldOutExamples)
  const measurements = Math.ceil(steps / work.evaluateEvery)
  const forwardItems = (measurements + 1) * validation + 3 * test + rates * Math.min(validation, probeJudges)
  const scored = Math.min(work.mask?.fisher?.examples ?? 0, data.trainingExamples)
  const tried = (work.mask?.fisher?.trialSteps ?? 0) * work.hyperParameters.batchSize
  const perToken = computedNumbers(base.config) / machine.operationsPerSecond
  return (
    (steps + rates * probeSteps) * stepSeconds +
    (forwardItems * 2 + (scored + tried) * 6) * tokensPerItem(work) * perToken
  )
}

/** An untied head is a product like any other; looking up rows of the embedding costs nothing. */
function computedNumbers(config: ModelConfig): number {
  const lookedUp = config.tiedHead ? 0 : config.vocabularySize * config.hiddenSize
  return modelParameterCount(config) - lookedUp
}

function tokensPerItem({ input: { data }, hyperParameters }: PlannedWork): number {
  return data.trainingExamples > 0 ? data.trainingTokens / data.trainingExamples : hyperParameters.sequenceLength
}
