/**
 * A short try of each learning rate, all from the same start on the same batches, judged on held-out text. A try is a whole
 * small run, warm-up and decay included: a rate is judged by where it leads to once it falls.
 */
import { TrainingFailedError } from '../errors.ts'
import type { Trainee } from '../ports/training-engine.ts'
import { itemLosses, meanLoss } from './items.ts'
import { probeJudges, probeSteps, ratesToProbe } from './learning-rates.ts'
import { modelParameterCount } from './mask.ts'
import { type RunContext, setAllValues } from './run-context.ts'
import type { RunState } from './run-state.ts'
import { createStepper } from './stepper.ts'

/** The rates this run is to try; none when its rate was given, or when nothing could judge them. */
export function plannedProbes({ plan, config, items }: RunContext): readonly number[] {
  if (plan.hyperParameters.learningRate !== null || items.validation.length === 0) return []
  return ratesToProbe(plan.request.method, plan.trainedParameters / modelParameterCount(config), config)
}

/** Tries what has not been tried yet, and leaves the trainee as it was. `base`: its values. */
export async function probeLearningRates(
  run: RunContext,
  trainee: Trainee,
  base: readonly Float32Array[],
  before: RunState,
): Promise<RunState> {
  const rates = plannedProbes(run)
  let state = before
  for (const learningRate of rates.slice(before.probes.length)) {
    if (run.options.finish.aborted) break
    const heldOutLoss = await tryRate(run, trainee, learningRate, state.probes.length)
    await setAllValues(trainee, base)
    await trainee.importOptimizer({ steps: 0, moments: [] })
    state = { ...state, probes: [...state.probes, { learningRate, heldOutLoss }] }
    await run.options.onEvent({ type: 'probe', learningRate, heldOutLoss })
    await run.checkpoint(state)
  }
  return state
}

/**
 * The rate to train with: the given one, else the one whose try came to the lowest loss, else the middle one. Throws
 * `TrainingFailedError` when every try came to numbers that are none.
 */
export function chooseRate(run: RunContext, { probes }: RunState): number {
  const { learningRate } = run.plan.hyperParameters
  if (learningRate !== null) return learningRate
  const judged = probes.filter((probe) => probe.heldOutLoss !== null)
  if (judged.length === 0 && probes.length > 0) throw new TrainingFailedError('no learning rate led to finite numbers')
  const best = judged.reduce<(typeof judged)[number] | null>(
    (a, b) => (a === null || lossOf(b) < lossOf(a) ? b : a),
    null,
  )
  if (best !== null) return best.learningRate
  const { plan, config } = run
  const rates = ratesToProbe(plan.request.method, plan.trainedParameters / modelParameterCount(config), config)
  return rates[1] as number
}

/** -> held-out loss; null when the numbers ended */
async function tryRate(run: RunContext, trainee: Trainee, learningRate: number, tried: number): Promise<number | null> {
  const steps = probeSteps(run.plan.hyperParameters.steps)
  const total = plannedProbes(run).length * steps
  const stepper = createStepper(run, trainee, { learningRate, steps })
  for (let step = 0; step < steps; step++) {
    const { loss, gradientNorm } = await stepper.step(step)
    if (!Number.isFinite(loss + gradientNorm)) return null
    await run.progress({ phase: 'probing', done: tried * steps + step + 1, total })
  }
  const loss = meanLoss(await itemLosses(trainee, run.items.validation.slice(0, probeJudges), run.forward))
  return loss !== null && Number.isFinite(loss) ? loss : null
}

function lossOf({ heldOutLoss }: { readonly heldOutLoss: number | null }): number {
  return heldOutLoss ?? Number.POSITIVE_INFINITY
}
