/** A run's mask: given, drawn by the seed, or chosen by scores that the whole model is loaded for. */
import type { MaskChoice } from '#contracts/patch-file/header.ts'
import { PatchMismatchError, TrainingFailedError } from '../errors.ts'
import { expectedTensors } from '../models/expected-tensors.ts'
import { deriveSeed, shuffledIndices } from '../numerics/random.ts'
import type { TrainedParameter } from '../ports/engine.ts'
import type { Trainee, TrainingExample } from '../ports/training-engine.ts'
import { fisherScores } from './fisher.ts'
import { isQuestion } from './items.ts'
import { trialRate } from './learning-rates.ts'
import { type MaskTensor, magnitudes, maskCandidates, selectMask, selectRandomMask, type TensorScores } from './mask.ts'
import { movementScores } from './movement.ts'
import { allValues, type RunContext } from './run-context.ts'
import { createStepper } from './stepper.ts'
import { callTokens } from './work-groups.ts'

/** The mask that needs no look at the model: a shared one, or a random one. Undefined when scores are needed, null without mask. */
export function maskWithoutScores({ components, plan, config }: RunContext): readonly MaskTensor[] | null | undefined {
  if (components.mask !== null) return completeMask(components.mask, config)
  if (plan.mask === null) return null
  const { method, hyperParameters } = { method: plan.request.method, ...plan }
  return method === 'random' ? selectRandomMask(plan.mask, config, hyperParameters.seed) : undefined
}

/** Whole tensors, whose scores decide. */
export function scoredParameters({ config }: RunContext, choice: MaskChoice): TrainedParameter[] {
  return maskCandidates(choice, config).map(({ name }) => ({ kind: 'tensor', name }))
}

/** `trainee` trains `scoredParameters`. */
export async function chooseMask(run: RunContext, trainee: Trainee, choice: MaskChoice): Promise<MaskTensor[]> {
  const values = await measureScores(run, trainee, choice)
  const scores: TensorScores[] = maskCandidates(choice, run.config).map(({ name }, i) => ({
    tensor: name,
    scores: values[i] as Float32Array,
  }))
  return selectMask(scores, choice, run.config)
}

async function measureScores(run: RunContext, trainee: Trainee, choice: MaskChoice): Promise<readonly Float32Array[]> {
  if (run.plan.request.method === 'magnitude') return (await allValues(trainee)).map(magnitudes)
  const { trialSteps } = choice.fisher ?? { trialSteps: 0 }
  const { batchSize } = run.plan.hyperParameters
  const trialItems = trialSteps * batchSize
  const fisher = await runFisher(run, trainee, choice, 'choosing', trialItems)
  if (trialSteps === 0) return fisher
  const before = await allValues(trainee)
  await tryEverything(run, trainee, trialSteps)
  return movementScores(fisher, before, await allValues(trainee))
}

/** A small run of all that may be chosen, on batches of its own. Throws `TrainingFailedError` when it comes to no number. */
async function tryEverything(run: RunContext, trainee: Trainee, steps: number): Promise<void> {
  const { seed, batchSize } = run.plan.hyperParameters
  const learningRate = trialRate(run.config)
  const stepper = createStepper(run, trainee, { learningRate, steps, seed: deriveSeed(seed, trialLabel) })
  const measured = fisherExamples(run, run.plan.mask?.fisher?.examples ?? 0).length
  for (let step = 0; step < steps; step++) {
    const { loss, gradientNorm } = await stepper.step(step)
    if (!Number.isFinite(loss + gradientNorm)) throw new TrainingFailedError(`trial step ${step + 1} came to no number`)
    const done = measured + (step + 1) * batchSize
    await run.progress({ phase: 'choosing', done, total: measured + steps * batchSize })
  }
}

/**
 * The Fisher information of `trainee`'s parameters, on examples that the seed picks from the training data. `moreItems`: what the
 * phase has to do besides.
 */
export async function runFisher(
  run: RunContext,
  trainee: Trainee,
  choice: Pick<MaskChoice, 'fisher'>,
  phase: 'choosing' | 'evaluating',
  moreItems = 0,
): Promise<Float32Array[]> {
  const { kind, examples } = choice.fisher ?? { kind: 'empirical', examples: 256 }
  const { seed } = run.plan.hyperParameters
  return fisherScores(trainee, fisherExamples(run, examples), {
    kind,
    seed: deriveSeed(seed, targetsLabel),
    signal: run.options.signal,
    gate: run.gate,
    callTokens: callTokens(run.config, 'backward'),
    onProgress: ({ done, total }) => run.progress({ phase, done, total: total + moreItems }),
  })
}

const examplesLabel = 0x66697368
const targetsLabel = 0x64726177
const trialLabel = 0x74727931

/** Of a question its right choice: what the patch is to make likely. */
function fisherExamples({ items, plan }: RunContext, count: number): TrainingExample[] {
  const order = shuffledIndices(items.train.length, deriveSeed(plan.hyperParameters.seed, examplesLabel))
  return Array.from(order.subarray(0, count), (index) => items.train[index])
    .filter((item) => item !== undefined)
    .map((item) => (isQuestion(item) ? (item.choices[item.answer] as TrainingExample) : item))
}

/** With the shapes of the model, in its order. Throws `PatchMismatchError` for a tensor it does not have. */
function completeMask(
  mask: NonNullable<RunContext['components']['mask']>,
  config: RunContext['config'],
): readonly MaskTensor[] {
  const known = expectedTensors(config)
  const stranger = mask.find(({ tensor }) => !known.some(({ name }) => name === tensor))
  if (stranger) throw new PatchMismatchError(stranger.tensor, 'the model has no such tensor')
  return known.flatMap(({ name, shape }) => {
    const indices = mask.find(({ tensor }) => tensor === name)?.indices
    return indices === undefined || indices.length === 0 ? [] : [{ tensor: name, shape, indices }]
  })
}
