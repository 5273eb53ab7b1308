/**
 * Which learning rates are worth a try. Full fine-tuning of a model 128 wide wants 2e-3 with Adam, and less the wider a model
 * is (Yang et al. 2022: in inverse proportion). A mask moves few numbers, each further: 10 times the dense rate for a
 * keepRatio of 0.5 %, 5 times for 2 %, and twice that where entries were not chosen by what the data asks of them. (IA)³
 * multiplies activations and does not depend on the width. (Measured on the seedling: docs/experiments.)
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { TrainingMethod } from '#contracts/patch-file/header.ts'

const denseWidth = 128
const denseRate = 2e-3
const scaleRate = 0.1
const largestBoost = 20

/** Three, ascending, the likeliest in the middle. `keepRatio`: trained numbers over all. */
export function ratesToProbe(method: TrainingMethod, keepRatio: number, config: ModelConfig): readonly number[] {
  const middle = likeliestRate(method, keepRatio, config)
  return [middle / 3, middle, middle * 2].map(toTwoDigits)
}

/** For the steps that try everything before a mask is chosen: careful, since nothing tunes it. */
export function trialRate(config: ModelConfig): number {
  return likeliestRate('full', 1, config) / 2
}

function likeliestRate(method: TrainingMethod, keepRatio: number, { hiddenSize }: ModelConfig): number {
  const dense = (denseRate * denseWidth) / hiddenSize
  if (method === 'ia3') return scaleRate
  if (method === 'full') return dense
  const blind = method === 'random' || method === 'magnitude' ? 2 : 1
  return dense * Math.min(largestBoost, Math.max(1, (0.7 * blind) / Math.sqrt(keepRatio)))
}

/** Held-out examples that judge a rate. */
export const probeJudges = 32

/** Steps of one try, in a run of `steps`. */
export function probeSteps(steps: number): number {
  return Math.min(steps, Math.max(12, Math.min(40, Math.round(steps / 6))))
}

function toTwoDigits(rate: number): number {
  return Number(rate.toPrecision(2))
}
