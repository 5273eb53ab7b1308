/** Step after step on the plan's batches, at the plan's schedule of a highest learning rate. */
import type { OptimizerStep, Trainee } from '../ports/training-engine.ts'
import { createBatches } from './batches.ts'
import { type RunItem, type StepOutcome, stepOn } from './items.ts'
import type { RunContext } from './run-context.ts'
import { rateFactor } from './schedule.ts'

export interface Stepper {
  /** Of `step`, from 0. */
  learningRate(step: number): number
  /** Does `step`; which examples that takes depends on nothing else. */
  step(step: number): Promise<StepOutcome>
}

export interface StepperInit {
  /** The highest. */
  readonly learningRate: number
  /** How many there will be; the schedule ends with them. */
  readonly steps: number
  /** Of the batches; the plan's when left out. */
  readonly seed?: number
}

export function createStepper(
  { plan, items, forward }: RunContext,
  trainee: Trainee,
  { learningRate, steps, seed = plan.hyperParameters.seed }: StepperInit,
): Stepper {
  const hyper = plan.hyperParameters
  const batches = createBatches({ ...hyper, seed, count: items.train.length, baseCount: items.base.length })
  const rateAt = (step: number) => learningRate * rateFactor(step, { ...hyper, steps })
  return {
    learningRate: rateAt,
    step(step) {
      const { own, base } = batches(step)
      const batch = [...own.map((i) => items.train[i]), ...base.map((i) => items.base[i])] as RunItem[]
      return stepOn(trainee, batch, optimizerStep(hyper, rateAt(step)), forward)
    },
  }
}

function optimizerStep(
  { beta1, beta2, epsilon, weightDecay, maximumNorm }: RunContext['plan']['hyperParameters'],
  learningRate: number,
): OptimizerStep {
  const step = { kind: 'adamw', learningRate, beta1, beta2, epsilon, weightDecay } as const
  return maximumNorm === null ? step : { ...step, maximumNorm }
}
