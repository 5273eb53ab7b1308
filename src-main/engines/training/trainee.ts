/** A model in memory with some of its numbers being trained, on onnxruntime. */
import { blockTensors, elementCount } from '#core/models/expected-tensors.ts'
import type { ScaleTarget, TrainedParameter } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import type { BatchGradients, Trainee, TraineeInit, TrainingExample } from '#core/ports/training-engine.ts'
import { EngineMisuseError } from '../shared/misuse.ts'
import { pickEntries } from './block-parameters.ts'
import { createGradientSums } from './gradient-sums.ts'
import { createModelRunner } from './model-runner.ts'
import { type ModelWeights, readModelWeights } from './model-weights.ts'
import { createOptimizer, type TrainedNumbers } from './optimizer.ts'
import { type PlacedParameter, placeParameters } from './parameters.ts'
import { freeFloats } from './program.ts'
import { planRuns, type Run, sumOfWeights } from './runs.ts'

export interface TraineeOptions {
  /** What may be kept of blocks between forward and backward; by default half of the weights, at least 64 MiB. */
  readonly keptBytes?: number
}

/** Reads the whole model. Throws `PatchMismatchError` for parameters it does not have. */
export async function loadTrainee(
  model: ModelHandle,
  { parameters, threads, signal }: TraineeInit,
  options: TraineeOptions = {},
): Promise<Trainee> {
  if (!Number.isInteger(threads) || threads < 1) throw new RangeError(`${threads} threads`)
  const { config } = model.manifest
  const placed = placeParameters(config, parameters)
  const weights = await readModelWeights(model, signal ? { signal } : {})
  const numbers = trainedNumbers(parameters, placed, weights)
  const optimizer = createOptimizer(numbers)
  const runner = createModelRunner(config, weights, placed, {
    threads,
    keptBytes: options.keptBytes ?? Math.max(64 << 20, weights.bytes / 2),
    scales: scaleVectors(config.blockCount, parameters, numbers),
  })
  const lengths = placed.map(({ length }) => length)
  const positionsPerRun = runSize(elementCountOfBlock(config))
  const ended = new AbortController()
  let working: Promise<unknown> | undefined

  /** One call at a time; it ends when its caller aborts it or the trainee is disposed of. */
  async function exclusively<T>(
    { signal: abort }: { signal?: AbortSignal },
    work: (abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (ended.signal.aborted) throw new EngineMisuseError('the trainee has been disposed of')
    if (working) throw new EngineMisuseError('calls on one trainee overlap')
    const promise = work(abort ? AbortSignal.any([abort, ended.signal]) : ended.signal)
    working = promise
    try {
      return await promise
    } finally {
      working = undefined
    }
  }
  const plan = (batch: readonly TrainingExample[]) => planRuns(batch, config, positionsPerRun)

  async function gradientsOf(runs: readonly Run[], abort: AbortSignal): Promise<BatchGradients> {
    const sums = createGradientSums(lengths)
    let lossSum = 0
    for (const run of runs) if (run.positions.length > 0) lossSum += await runner.gradients(run, sums, abort)
    return { lossSum, weightSum: sumOfWeights(runs), gradients: sums.all() }
  }

  return {
    parameters,
    parameterCount: lengths.reduce((sum, length) => sum + length, 0),
    get optimizerStateBytes() {
      return optimizer.stateBytes
    },
    values: (index) => exclusively({}, async () => readNumbers(numberAt(numbers, index))),
    setValues: (index, values) => exclusively({}, async () => writeNumbers(numberAt(numbers, index), values)),

    loss: (batch, options = {}) =>
      exclusively(options, async (abort) => {
        const runs = plan(batch)
        let lossSum = 0
        for (const run of runs) if (run.positions.length > 0) lossSum += await runner.loss(run, abort)
        return { lossSum, weightSum: sumOfWeights(runs) }
      }),

    gradients: (batch, options = {}) => exclusively(options, (abort) => gradientsOf(plan(batch), abort)),

    step: (batch, step, options = {}) =>
      exclusively(options, async (abort) => {
        const { lossSum, weightSum, gradients } = await gradientsOf(plan(batch), abort)
        abort.throwIfAborted()
        if (weightSum > 0) optimizer.step(gradients, (step.gradientScale ?? 1) / weightSum, step)
        for (const gradient of gradients) freeFloats(gradient)
        return { lossSum, weightSum }
      }),

    squaredGradients: (examples, options = {}) =>
      exclusively(options, async (abort) => {
        const sums = createGradientSums(lengths)
        for (const example of examples) {
          const { gradients } = await gradientsOf(plan([example]), abort)
          for (const [i, gradient] of gradients.entries()) sums.add(i, squareInPlace(gradient))
        }
        return sums.all()
      }),

    exportOptimizer: () => exclusively({}, async () => optimizer.exportState()),
    importOptimizer: (state) => exclusively({}, async () => optimizer.importState(state)),

    async dispose() {
      if (ended.signal.aborted) return
      ended.abort()
      await working?.catch(() => {})
      await runner.dispose()
    },
  }
}

/** Where each parameter's numbers are: in the model's weights, or, for scales, in vectors of their own. */
function trainedNumbers(
  parameters: readonly TrainedParameter[],
  placed: readonly PlacedParameter[],
  weights: ModelWeights,
): TrainedNumbers[] {
  return parameters.map((parameter, i) => {
    if (parameter.kind === 'scale') return { array: new Float32Array(placed[i]?.length ?? 0).fill(1) }
    const array = weights.tensor(parameter.name)
    return parameter.kind === 'entries' ? { array, indices: parameter.indices } : { array }
  })
}

function scaleVectors(blockCount: number, parameters: readonly TrainedParameter[], numbers: readonly TrainedNumbers[]) {
  return Array.from({ length: blockCount }, (_, block) => {
    const vectors: Partial<Record<ScaleTarget, Float32Array>> = {}
    for (const [i, parameter] of parameters.entries()) {
      if (parameter.kind === 'scale' && parameter.block === block)
        vectors[parameter.target] = numberAt(numbers, i).array
    }
    return vectors
  })
}

/**
 * Positions a run, so that an abort is heard within 200 ms: one block forward and backward is 6 operations a weight and
 * position, and 100 of them a nanosecond is what two cores do at the least.
 */
function runSize(blockWeights: number): number {
  return Math.min(1024, Math.max(128, Math.floor(1e10 / (6 * blockWeights))))
}

function elementCountOfBlock(config: ModelHandle['manifest']['config']): number {
  return blockTensors(config, 0).reduce((sum, { shape }) => sum + elementCount(shape), 0)
}

function numberAt(numbers: readonly TrainedNumbers[], index: number): TrainedNumbers {
  const found = numbers[index]
  if (found === undefined) throw new RangeError(`parameter ${index} of ${numbers.length}`)
  return found
}

function readNumbers({ array, indices }: TrainedNumbers): Float32Array {
  return indices ? pickEntries(array, indices) : array.slice()
}

function writeNumbers({ array, indices }: TrainedNumbers, values: Float32Array): void {
  const length = indices?.length ?? array.length
  if (values.length !== length) throw new RangeError(`${values.length} values for ${length} numbers`)
  if (!indices) array.set(values)
  else for (const [i, index] of indices.entries()) array[index] = values[i] as number
}

function squareInPlace(values: Float32Array): Float32Array {
  for (const [i, value] of values.entries()) values[i] = value * value
  return values
}
