/** The steps of a run: held-out loss now and then, the best values kept, checkpoints, an end when nothing improves. */
import { TrainingFailedError } from '../errors.ts'
import type { Trainee } from '../ports/training-engine.ts'
import { itemLosses, meanLoss } from './items.ts'
import { allValues, type Progress, type RunContext, setAllValues } from './run-context.ts'
import type { RunState, TrainingState } from './run-state.ts'
import { createStepper } from './stepper.ts'

/**
 * Trains from `before`'s step on, and leaves the trainee with the best values. Throws `TrainingFailedError` as soon as a loss or
 * gradient is no number; what was trained until the last checkpoint stays in it.
 */
export async function train(
  run: RunContext,
  trainee: Trainee,
  before: RunState,
  learningRate: number,
): Promise<RunState & { readonly training: TrainingState }> {
  let training = await takeUp(trainee, before)
  const { hyperParameters, checkpointEvery } = run.plan
  const { steps } = hyperParameters
  const stepper = createStepper(run, trainee, { learningRate, steps })
  const pace = createPace(run, steps)
  while (training.ended === null) {
    const { step } = training
    const fromMs = run.workedMs()
    const { loss, gradientNorm, tokens } = await stepper.step(step)
    const stepMs = run.workedMs() - fromMs
    if (!Number.isFinite(loss + gradientNorm)) throw new TrainingFailedError(`step ${step + 1} came to no number`)
    const last = step + 1 === steps || run.options.finish.aborted
    const heldOut = await measureWhenDue(run, trainee, step + 1, last)
    training = await judge(run, trainee, { ...training, step: step + 1 }, heldOut, last)
    await run.point({ step: step + 1, train: loss, heldOut, learningRate: stepper.learningRate(step) })
    await run.progress({
      phase: 'training',
      done: step + 1,
      total: steps,
      step: step + 1,
      ...pace(step + 1, tokens, stepMs),
    })
    if (training.ended !== null || (step + 1) % checkpointEvery === 0) {
      training = await holdOn(trainee, training)
      await run.checkpoint({ ...before, training })
    }
  }
  if (training.best !== null && training.best.step !== training.step) await setAllValues(trainee, training.best.values)
  return { ...before, training }
}

/** The step whose values the trainee has at the end. */
export function keptStep({ best, step }: TrainingState): number {
  return best?.step ?? step
}

/** At the beginning, or where a checkpoint was made. */
async function takeUp(trainee: Trainee, { training, measured }: RunState): Promise<TrainingState> {
  if (training !== null) {
    await setAllValues(trainee, training.values)
    await trainee.importOptimizer(training.optimizer)
    return training
  }
  const values = await allValues(trainee)
  const loss = measured?.validation ?? null
  const best = loss === null ? null : { step: 0, loss, values }
  return { step: 0, values, optimizer: { steps: 0, moments: [] }, best, sinceBest: 0, ended: null }
}

async function holdOn(trainee: Trainee, training: TrainingState): Promise<TrainingState> {
  return { ...training, values: await allValues(trainee), optimizer: await trainee.exportOptimizer() }
}

async function measureWhenDue(
  { plan, items, forward }: RunContext,
  trainee: Trainee,
  step: number,
  last: boolean,
): Promise<number | null> {
  if (items.validation.length === 0 || (!last && step % plan.evaluateEvery !== 0)) return null
  const loss = meanLoss(await itemLosses(trainee, items.validation, forward))
  if (loss !== null && !Number.isFinite(loss))
    throw new TrainingFailedError(`the held-out loss of step ${step} is no number`)
  return loss
}

/** Whether these are the best values so far, and whether to go on. */
async function judge(
  { plan }: RunContext,
  trainee: Trainee,
  training: TrainingState,
  heldOut: number | null,
  last: boolean,
): Promise<TrainingState> {
  const whole = last ? ('whole' as const) : null
  if (heldOut === null) return { ...training, ended: whole }
  if (training.best === null || heldOut < training.best.loss) {
    const best = { step: training.step, loss: heldOut, values: await allValues(trainee) }
    return { ...training, best, sinceBest: 0, ended: whole }
  }
  const sinceBest = training.sinceBest + 1
  const { patience } = plan.request
  const early = patience !== null && sinceBest >= patience && !last
  return { ...training, sinceBest, ended: early ? 'early' : whole }
}

/** Since training was taken up, waiting left out: the speed of steps, and what is left at the pace of steps and measurements. */
function createPace(run: RunContext, steps: number) {
  const startMs = run.workedMs()
  let stepsDone = 0
  let tokensDone = 0
  let steppingMs = 0
  return (step: number, tokens: number, stepMs: number): Pick<Progress, 'tokensPerSecond' | 'remainingSeconds'> => {
    stepsDone++
    tokensDone += tokens
    steppingMs += stepMs
    if (!(steppingMs > 0)) return {}
    const workedSeconds = (run.workedMs() - startMs) / 1000
    return {
      tokensPerSecond: tokensDone / (steppingMs / 1000),
      remainingSeconds: (workedSeconds / stepsDone) * (steps - step),
    }
  }
}
