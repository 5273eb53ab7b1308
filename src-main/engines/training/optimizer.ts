/**
 * Updates of trained numbers in place, and the moments that AdamW keeps for them and for nothing else. The kernels do them, some
 * at a time: numbers are copied in and out while they are in the processor's cache, which takes a quarter of the time that
 * the same lines take in JavaScript (6.6 million numbers: 13 ms by 50, everything around them included).
 */
import type { OptimizerState, OptimizerStep } from '#core/ports/training-engine.ts'
import { type AdamStep, createGradientKernels } from '../kernels/gradient-kernels.ts'
import { createWorkspace } from '../kernels/workspace.ts'

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
  const kernels = createUpdateKernels()
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
        if (step.kind === 'sgd') kernels.descend(trained, gradient, factor * step.learningRate)
        else kernels.adapt(trained, gradient, moments[i] as Moments, { ...step, gradientScale: factor, steps })
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

/** Numbers at a time: four arrays of them fit the second cache. */
const chunkLength = 1 << 14

function createUpdateKernels() {
  const workspace = createWorkspace()
  const kernels = createGradientKernels(workspace)
  const pointers = Array.from({ length: 4 }, () => workspace.allocate(4 * chunkLength))
  const [parameters, gradients, first, second] = pointers as [number, number, number, number]
  const [atParameters, atGradients, atFirst, atSecond] = [parameters, gradients, first, second].map(
    (pointer) => workspace.floats(pointer, chunkLength), // nothing is allocated after this, so the views stay
  ) as [Float32Array, Float32Array, Float32Array, Float32Array]

  /** Takes some numbers and their gradients in, lets `update` change them, and takes them out again. */
  function inChunks(numbers: TrainedNumbers, gradient: Float32Array, update: (start: number, count: number) => void) {
    for (let start = 0; start < gradient.length; start += chunkLength) {
      const count = Math.min(chunkLength, gradient.length - start)
      copyIn(atParameters, numbers, start, count)
      atGradients.set(gradient.subarray(start, start + count))
      update(start, count)
      copyOut(atParameters, numbers, start, count)
    }
  }

  return {
    /** θ -= rate g */
    descend(numbers: TrainedNumbers, gradient: Float32Array, rate: number): void {
      inChunks(numbers, gradient, (_, count) => kernels.descend(parameters, gradients, count, rate))
    },
    adapt(numbers: TrainedNumbers, gradient: Float32Array, moments: Moments, step: AdamStep): void {
      inChunks(numbers, gradient, (start, count) => {
        atFirst.set(moments.first.subarray(start, start + count))
        atSecond.set(moments.second.subarray(start, start + count))
        kernels.adapt(parameters, gradients, { first, second }, count, step)
        moments.first.set(atFirst.subarray(0, count), start)
        moments.second.set(atSecond.subarray(0, count), start)
      })
    },
  }
}

function copyIn(into: Float32Array, { array, indices }: TrainedNumbers, start: number, count: number): void {
  if (!indices) into.set(array.subarray(start, start + count))
  else for (let i = 0; i < count; i++) into[i] = array[indices[start + i] as number] as number
}

function copyOut(from: Float32Array, { array, indices }: TrainedNumbers, start: number, count: number): void {
  if (!indices) array.set(from.subarray(0, count), start)
  else for (let i = 0; i < count; i++) array[indices[start + i] as number] = from[i] as number
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
