/**
 * A training run: the base is measured, what to train is chosen, learning rates are tried, the numbers are trained, and
 * what came of it is measured as the patch will hold it. Nothing here knows of files, queues or processes: it computes when
 * the gate lets it, tells what happens, and can go on from any checkpoint with the same result, bit for bit.
 */
import type { TrainingRecord } from '#contracts/patch-file/header.ts'
import { TrainingFailedError } from '../errors.ts'
import type { Trainee } from '../ports/training-engine.ts'
import { decodeCheckpoint, planDigest } from './checkpoint.ts'
import { chooseMask, maskWithoutScores, runFisher, scoredParameters } from './choose-mask.ts'
import { contentOf, valuesAsWritten } from './content.ts'
import { type ItemLoss, itemLosses, meanLoss } from './items.ts'
import { lostShare, type Measured, metricsOf } from './metrics.ts'
import { parametersOf } from './parameters.ts'
import { chooseRate, plannedProbes, probeLearningRates } from './probe.ts'
import { allValues, createRunContext, type RunContext, setAllValues, withTrainee } from './run-context.ts'
import { nothingDone, type RunState, type TrainingState } from './run-state.ts'
import type { RunTraining, TrainingOutcome } from './run-types.ts'
import { keptStep, train } from './train-loop.ts'

/**
 * Throws `TrainingFailedError` when numbers end, when `finish` comes before the first step, and for a checkpoint of another plan;
 * `PatchMismatchError` for a mask of another model; and the signal's reason when aborted.
 */
export const runTraining: RunTraining = async (components, plan, options) => {
  if (components.examples.train.length === 0) throw new TrainingFailedError('no training examples')
  const run = createRunContext(components, plan, options)
  const resumed = options.resume === null ? nothingDone : decodeCheckpoint(options.resume, planDigest(plan))
  const chosen = await withMask(run, resumed)
  const parameters = parametersOf(plan.request.method, run.config, chosen.mask)
  return withTrainee(run, parameters, async (trainee) => {
    const base = await allValues(trainee)
    const measured = await measureBase(run, trainee, chosen)
    const probed = await probe(run, trainee, base, measured)
    const learningRate = chooseRate(run, probed)
    if (run.options.finish.aborted && (probed.training?.step ?? 0) === 0) {
      throw new TrainingFailedError('finished before its first step')
    }
    if ((probed.training?.ended ?? null) === null) await run.phase('training')
    const trained = await train(run, trainee, probed, learningRate)
    return evaluate(run, trainee, { base, learningRate, ...trained })
  })
}

/** With the mask, where the method has one. Scores are of the whole model, which is loaded for them and for nothing after. */
async function withMask(run: RunContext, before: RunState): Promise<RunState> {
  if (before.mask !== null) return before
  const mask = maskWithoutScores(run)
  const choice = run.plan.mask
  if (mask !== undefined || choice === null) return { ...before, mask: mask ?? null }
  return withTrainee(run, scoredParameters(run, choice), async (trainee) => {
    const measured = await measureBase(run, trainee, before)
    await run.phase('choosing')
    const chosen = { ...measured, mask: await chooseMask(run, trainee, choice) }
    await run.checkpoint(chosen)
    return chosen
  })
}

async function measureBase(run: RunContext, trainee: Trainee, before: RunState): Promise<RunState> {
  if (before.measured !== null) return before
  const { validation, test, baseTest } = run.items
  await run.phase('measuring')
  const count = createCount(run, 'measuring', validation.length + test.length + baseTest.length)
  const curve = meanLoss(await itemLosses(trainee, validation, run.forward, count()))
  const heldOut = await itemLosses(trainee, test, run.forward, count())
  const baseText = await itemLosses(trainee, baseTest, run.forward, count())
  checkFinite([...heldOut, ...baseText], 'the base model')
  if (curve !== null) await run.point({ step: 0, train: null, heldOut: curve, learningRate: null })
  const state = { ...before, measured: { validation: curve, heldOut, baseText } }
  await run.checkpoint(state)
  return state
}

async function probe(run: RunContext, trainee: Trainee, base: readonly Float32Array[], before: RunState) {
  const rates = plannedProbes(run)
  if (before.training !== null || before.probes.length === rates.length) return before
  await run.phase('probing')
  return probeLearningRates(run, trainee, base, before)
}

interface Trained extends RunState {
  readonly training: TrainingState
  readonly base: readonly Float32Array[]
  readonly learningRate: number
}

/** Of the patch as it will be read again; how much rounding took is told beside. */
async function evaluate(run: RunContext, trainee: Trainee, trained: Trained): Promise<TrainingOutcome> {
  const { plan, items } = run
  const { valueFormat, includeFisher } = plan.request
  await run.phase('evaluating')
  const trainedValues = { parameters: trainee.parameters, base: trained.base, values: await allValues(trainee) }
  const rounds = valueFormat !== 'float32' && trainee.parameters.some(({ kind }) => kind !== 'scale')
  const total = items.test.length * (rounds ? 2 : 1) + items.baseTest.length
  const count = createCount(run, 'evaluating', total)
  const exact = rounds ? await itemLosses(trainee, items.test, run.forward, count()) : null
  if (rounds) await setAllValues(trainee, valuesAsWritten(trainedValues, valueFormat))
  const heldOut = await itemLosses(trainee, items.test, run.forward, count())
  const after = { heldOut, baseText: await itemLosses(trainee, items.baseTest, run.forward, count()) }
  checkFinite([...after.heldOut, ...after.baseText], 'the patch')
  const before: Measured = trained.measured ?? { heldOut: [], baseText: [] }
  const fisher =
    includeFisher && trainee.parameters.some(({ kind }) => kind !== 'scale')
      ? await runFisher(run, trainee, { fisher: plan.mask?.fisher ?? null }, 'evaluating')
      : null
  return {
    content: contentOf(trainedValues, run.config, valueFormat, fisher),
    record: recordOf(run, trainee, trained),
    metrics: metricsOf(before, after, plan.hyperParameters.seed),
    earlyStopped: trained.training.ended === 'early',
    roundingLoss: exact === null ? roundingOfNothing(before, after) : lostShare(before.heldOut, exact, after.heldOut),
  }
}

function recordOf(
  { plan, components }: RunContext,
  trainee: Trainee,
  { training, learningRate }: Trained,
): TrainingRecord {
  return {
    method: plan.request.method,
    objective: plan.objective,
    mask: plan.mask,
    hyperParameters: { ...plan.hyperParameters, learningRate },
    trainedParameters: trainee.parameterCount,
    bestStep: keptStep(training),
    engine: components.engine.backend,
  }
}

/** Counts on over several lists of items. */
function createCount(run: RunContext, phase: 'measuring' | 'evaluating', total: number) {
  let before = 0
  let here = 0
  return () => {
    before += here
    here = 0
    return (done: number): Promise<void> => {
      here = done
      return run.progress({ phase, done: before + done, total })
    }
  }
}

function checkFinite(losses: readonly ItemLoss[], what: string): void {
  if (!losses.every(({ loss }) => Number.isFinite(loss)))
    throw new TrainingFailedError(`the loss of ${what} is no number`)
}

function roundingOfNothing(before: Measured, after: Measured): number | null {
  return lostShare(before.heldOut, after.heldOut, after.heldOut)
}
