/** A model in memory with some of its numbers being trained, on onnxruntime. */
import { blockTensors, elementCount } from '#core/models/expected-tensors.ts'
import type { ScaleTarget, TrainedParameter } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import type {
  BatchGradients,
  StepGradient,
  Trainee,
  TraineeInit,
  TrainingExample,
} from '#core/ports/training-engine.ts'
import { EngineMisuseError } from '../shared/misuse.ts'
import { pickEntries } from './block-parameters.ts'
import { createUniforms, drawTarget } from './draw-targets.ts'
import { createGradientSums } from './gradient-sums.ts'
import { createModelRunner } from './model-runner.ts'
import { type ModelWeights, readModelWeights } from './model-weights.ts'
import { createOptimizer, type TrainedNumbers } from './optimizer.ts'
import { type PlacedParameter, placeParameters } from './parameters.ts'
import { freeFloats } from './program.ts'
import { type Prediction, planRuns, predictions, type Run, sumOfWeights } from './runs.ts'
import { checkPatches, standingScales } from './standing-patches.ts'

export interface TraineeOptions {
  /** What may be kept of blocks between forward and backward; by default half of the weights, at least 48 MiB. */
  readonly keptBytes?: number
}

/** Reads the whole model. Throws `PatchMismatchError` for parameters it does not have, and patches that do not fit it. */
export async function loadTrainee(
  model: ModelHandle,
  { parameters, on = [], threads, signal }: TraineeInit,
  options: TraineeOptions = {},
): Promise<Trainee> {
  if (!Number.isInteger(threads) || threads < 1) throw new RangeError(`${threads} threads`)
  const { config } = model.manifest
  const placed = placeParameters(config, parameters)
  checkPatches(config, on)
  const weights = await readModelWeights(model, { on, ...(signal && { signal }) })
  const numbers = trainedNumbers(parameters, placed, weights)
  const optimizer = createOptimizer(numbers)
  const runner = createModelRunner(config, weights, placed, {
    threads,
    keptBytes: options.keptBytes ?? Math.max(48 << 20, weights.bytes / 2),
    scales: {
      trained: scaleVectors(config.blockCount, parameters, numbers),
      standing: standingScales(config.blockCount, on),
    },
  })
  const lengths = placed.map(({ length }) => length)
  const positionsPerRun = runSize(elementCountOfBlock(config), runner.keptPositions)
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
        const runs = plan(batch)
        const weightSum = sumOfWeights(runs)
        checkStep(step, weightSum)
        const { lossSum, gradients } = await gradientsOf(runs, abort)
        abort.throwIfAborted()
        const { factor, gradientNorm } = measureStep(gradients, step, weightSum)
        if (factor !== null) optimizer.step(gradients, factor, step)
        for (const gradient of gradients) freeFloats(gradient)
        return { lossSum, weightSum, gradientNorm }
      }),

    logProbabilities: (examples, options = {}) =>
      exclusively(options, async (abort) => {
        const runs = plan(examples.map(unweighted))
        const results = examples.map(({ tokens }) => new Float32Array(tokens.length - 1))
        for (const run of runs) {
          const values = await runner.logProbabilities(run, abort)
          for (const { example, position, place } of predictions(run)) {
            const own = results[example] as Float32Array
            own[position] = values[place] as number
          }
        }
        return results
      }),

    sampleTargets: (examples, { seed, ...options }) =>
      exclusively(options, async (abort) => {
        if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError(`seed ${seed}`)
        const uniform = createUniforms(seed)
        const runs = plan(examples.map(unweighted))
        const results = examples.map(({ tokens }) => new Uint32Array(tokens.length - 1))
        for (const run of runs) {
          const places = predictions(run)
          const draw = (place: number, logProbabilities: Float32Array) => {
            const { example, position } = places[place] as Prediction
            const own = results[example] as Uint32Array
            own[position] = drawTarget(logProbabilities, uniform(example, position))
          }
          await runner.distributions(run, draw, abort)
        }
        return results
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

/** What the gradient is multiplied with for the update, null for none; and its length before it is shortened. */
function measureStep(
  gradients: readonly Float32Array[],
  { divisor, gradientScale = 1, maximumNorm = Number.POSITIVE_INFINITY }: StepGradient,
  weightSum: number,
): { readonly factor: number | null; readonly gradientNorm: number } {
  if (divisor === undefined && weightSum === 0) return { factor: null, gradientNorm: 0 }
  const factor = gradientScale / (divisor ?? weightSum)
  const gradientNorm = Math.abs(factor) * lengthOf(gradients)
  if (!Number.isFinite(gradientNorm)) return { factor: null, gradientNorm }
  return { factor: gradientNorm > maximumNorm ? (factor * maximumNorm) / gradientNorm : factor, gradientNorm }
}

/** L2, over all arrays together, in float64; four sums at once, because each addition waits for the one before. */
function lengthOf(arrays: readonly Float32Array[]): number {
  let [a, b, c, d] = [0, 0, 0, 0]
  for (const values of arrays) {
    const whole = values.length & ~3
    for (let i = 0; i < whole; i += 4) {
      a += (values[i] as number) * (values[i] as number)
      b += (values[i + 1] as number) * (values[i + 1] as number)
      c += (values[i + 2] as number) * (values[i + 2] as number)
      d += (values[i + 3] as number) * (values[i + 3] as number)
    }
    for (let i = whole; i < values.length; i++) a += (values[i] as number) * (values[i] as number)
  }
  return Math.sqrt(a + b + c + d)
}

/** Before anything is computed. */
function checkStep({ divisor, maximumNorm }: StepGradient, weightSum: number): void {
  if (divisor !== undefined && !(divisor > 0)) throw new RangeError(`a gradient divided by ${divisor}`)
  if (maximumNorm !== undefined && !(maximumNorm > 0)) throw new RangeError(`a gradient no longer than ${maximumNorm}`)
  if (divisor === undefined && weightSum < 0) {
    throw new RangeError(`weights that add up to ${weightSum} make no mean: a divisor is needed`)
  }
}

function unweighted({ tokens, targets }: TrainingExample): TrainingExample {
  return targets ? { tokens, targets } : { tokens }
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
 * position, and 100 of them a nanosecond is what two cores do at the least. Fewer where then nothing is computed twice,
 * unless products would be of too few rows to be fast.
 */
function runSize(blockWeights: number, keptPositions: number): number {
  const size = Math.min(1024, Math.max(128, Math.floor(1e10 / (6 * blockWeights))))
  return keptPositions >= 256 ? Math.min(size, keptPositions) : size
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
