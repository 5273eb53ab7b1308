/** Updates of trained numbers in place, and the moments that AdamW keeps for them and for nothing else. */
import type { OptimizerState, OptimizerStep } from '#core/ports/training-engine.ts'

/** Where trained numbers lie: some places of an array, or all of it. */
export interface TrainedNumbers {
  readonly array: Float32Array
  readonly indices?: Uint32Array
}

export interface Optimizer {
  readonly stateBytes: number
  /** `gradients` are of a sum; `factor` makes the mean of it, and what else the caller wants. */
  step(gradients: readonly Float32Array[], factor: number, step: OptimizerStep): void
  exportState(): OptimizerState
  /** Throws `RangeError` when the moments do not fit the numbers. */
  importState(state: OptimizerState): void
}

interface Moments {
  readonly first: Float32Array
  readonly second: Float32Array
}

export function createOptimizer(numbers: readonly TrainedNumbers[]): Optimizer {
  const lengths = numbers.map(({ array, indices }) => indices?.length ?? array.length)
  let moments: readonly Moments[] = []
  let steps = 0
  return {
    get stateBytes() {
      return moments.reduce((sum, { first, second }) => sum + first.byteLength + second.byteLength, 0)
    },
    step(gradients, factor, step) {
      steps++
      if (step.kind === 'adamw' && moments.length === 0) moments = lengths.map(zeroMoments)
      for (const [i, trained] of numbers.entries()) {
        const gradient = gradients[i] as Float32Array
        if (step.kind === 'sgd') descend(trained, gradient, factor * step.learningRate)
        else adapt(trained, gradient, moments[i] as Moments, { ...step, factor, steps })
      }
    },
    exportState: () => ({ steps, moments: moments.map(copyMoments) }),
    importState(state) {
      checkState(state, lengths)
      moments = state.moments.map(copyMoments)
      steps = state.steps
    },
  }
}

/** θ -= rate g */
function descend({ array, indices }: TrainedNumbers, gradient: Float32Array, rate: number): void {
  for (let i = 0; i < gradient.length; i++) {
    const place = indices === undefined ? i : (indices[i] as number)
    array[place] = (array[place] as number) - rate * (gradient[i] as number)
  }
}

type AdamStep = Omit<Extract<OptimizerStep, { kind: 'adamw' }>, 'kind'> & {
  readonly factor: number
  /** This one included. */
  readonly steps: number
}

/**
 * m = β₁m + (1-β₁)g, v = β₂v + (1-β₂)g², θ -= η (m̂ / (√v̂ + ε) + λθ), m̂ = m / (1-β₁ᵗ), v̂ = v / (1-β₂ᵗ)
 * (Loshchilov & Hutter 2019, algorithm 2, with the schedule in η).
 */
function adapt({ array, indices }: TrainedNumbers, gradient: Float32Array, moments: Moments, step: AdamStep): void {
  const { beta1, beta2, epsilon, learningRate, factor, steps } = step
  const { first, second } = moments
  const rate = learningRate / (1 - beta1 ** steps)
  const rootCorrection = 1 / Math.sqrt(1 - beta2 ** steps)
  const keep = 1 - learningRate * step.weightDecay
  for (let i = 0; i < gradient.length; i++) {
    const place = indices === undefined ? i : (indices[i] as number)
    const g = (gradient[i] as number) * factor
    const m = beta1 * (first[i] as number) + (1 - beta1) * g
    const v = beta2 * (second[i] as number) + (1 - beta2) * g * g
    first[i] = m
    second[i] = v
    array[place] = (array[place] as number) * keep - (rate * m) / (Math.sqrt(v) * rootCorrection + epsilon)
  }
}

function zeroMoments(length: number): Moments {
  return { first: new Float32Array(length), second: new Float32Array(length) }
}

function copyMoments({ first, second }: Moments): Moments {
  return { first: first.slice(), second: second.slice() }
}

function checkState({ steps, moments }: OptimizerState, lengths: readonly number[]): void {
  if (!Number.isInteger(steps) || steps < 0) throw new RangeError(`${steps} steps`)
  if (moments.length === 0) return
  const fits = (length: number, i: number) =>
    moments[i]?.first.length === length && moments[i]?.second.length === length
  if (moments.length !== lengths.length || !lengths.every(fits)) {
    throw new RangeError('the moments are of other parameters')
  }
}
