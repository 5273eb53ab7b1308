/** Training of a whole model that fits on this machine: loss, gradients, updates. What to train and when is not its matter. */
import type { PatchWeights, TrainedParameter } from './engine.ts'
import type { ModelHandle } from './model-store.ts'

export interface TrainingExample {
  /** At least two. */
  readonly tokens: readonly number[]
  /** (tokens - 1,): the token each position is to predict; the next one when left out. */
  readonly targets?: readonly number[]
  /** (tokens - 1,): weight of predicting the target from the tokens before; all 1 when left out. May be negative. */
  readonly targetWeights?: Float32Array
}

/** The loss is the weighted sum of negative log-likelihoods of the targets (nats) over the batch's examples. */
export interface BatchLoss {
  readonly lossSum: number
  /** The sum of the weights: what to divide by for a mean. */
  readonly weightSum: number
}

export interface BatchGradients extends BatchLoss {
  /** Of `lossSum`, one for each parameter in the trainee's order. Valid until the next call. */
  readonly gradients: readonly Float32Array[]
}

export interface StepGradient {
  /** What the gradient of `lossSum` is divided by; the batch's `weightSum` when left out. Throws `RangeError` unless positive. */
  readonly divisor?: number
  /** Multiplied with the gradient after that; 1 when left out. */
  readonly gradientScale?: number
  /** A longer gradient is shortened to this L2 norm, over all trained numbers together. Not when left out. */
  readonly maximumNorm?: number
}

/** One update. Only trained numbers are decayed. A batch of no weight and without `divisor` changes nothing. */
export type OptimizerStep = StepGradient &
  (
    | { readonly kind: 'sgd'; readonly learningRate: number }
    | {
        /** Loshchilov & Hutter 2019; `weightDecay` 0 makes it Adam (Kingma & Ba 2015). */
        readonly kind: 'adamw'
        readonly learningRate: number
        readonly beta1: number
        readonly beta2: number
        readonly epsilon: number
        readonly weightDecay: number
      }
  )

export interface StepResult extends BatchLoss {
  /** L2 norm of the gradient that was used, before it was shortened. Not finite when the gradient is not: then nothing was changed. */
  readonly gradientNorm: number
}

export interface TraineeInit {
  readonly parameters: readonly TrainedParameter[]
  /** Patches the training stands on: added to the weights when they are loaded, and frozen with them. */
  readonly on?: readonly PatchWeights[]
  readonly threads: number
  readonly signal?: AbortSignal
}

/** A model in memory with some of its numbers being trained. Calls do not overlap. */
export interface Trainee {
  readonly parameters: readonly TrainedParameter[]
  /** Trained numbers in all. */
  readonly parameterCount: number
  /** Bytes held for the optimizer: two float32 a trained number once `adamw` has been used, else none. */
  readonly optimizerStateBytes: number
  /** The values now of parameter `index`: whole tensors, entries of the mask (base plus change), or scales. A copy. */
  values(index: number): Promise<Float32Array>
  /** Takes a copy. Throws `RangeError` for a parameter that is not there or another number of values. */
  setValues(index: number, values: Float32Array): Promise<void>
  /** Forward only. */
  loss(batch: readonly TrainingExample[], options?: { signal?: AbortSignal }): Promise<BatchLoss>
  gradients(batch: readonly TrainingExample[], options?: { signal?: AbortSignal }): Promise<BatchGradients>
  /** `gradients`, then one update of the trained numbers. */
  step(
    batch: readonly TrainingExample[],
    optimizer: OptimizerStep,
    options?: { signal?: AbortSignal },
  ): Promise<StepResult>
  /** Forward only: the log-probability (nats) of each target of each example, (tokens - 1,), weights left aside. */
  logProbabilities(
    examples: readonly TrainingExample[],
    options?: { signal?: AbortSignal },
  ): Promise<readonly Float32Array[]>
  /**
   * For each position of each example a target drawn from the model's own distribution, (tokens - 1,): with them in place of
   * the text's, `squaredGradients` is an estimate of the true Fisher. The same seed draws the same on one numerics class.
   */
  sampleTargets(
    examples: readonly TrainingExample[],
    options: { readonly seed: number; readonly signal?: AbortSignal },
  ): Promise<readonly Uint32Array[]>
  /**
   * Squared gradients of each example's summed log-likelihood, added up over `examples`: the empirical diagonal Fisher
   * times their number (Sung et al. 2021, eq. 4). Each example by itself, never a batch's.
   */
  squaredGradients(
    examples: readonly TrainingExample[],
    options?: { signal?: AbortSignal },
  ): Promise<readonly Float32Array[]>
  /** The optimizer's moments and step count, to be saved and restored bit for bit. */
  exportOptimizer(): Promise<OptimizerState>
  /** Throws `RangeError` for a state of other parameters. */
  importOptimizer(state: OptimizerState): Promise<void>
  dispose(): Promise<void>
}

export interface OptimizerState {
  readonly steps: number
  /** First and second moments, one pair for each parameter; empty before the first `adamw` step. */
  readonly moments: readonly { readonly first: Float32Array; readonly second: Float32Array }[]
}

export interface TrainingEngine {
  readonly backend: string
  /** Throws `PatchMismatchError` for a parameter the model does not have. */
  loadTrainee(model: ModelHandle, init: TraineeInit): Promise<Trainee>
}
