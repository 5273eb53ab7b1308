/**
 * The diagonal Fisher information of trained numbers: how much what the model says depends on each. Empirical: of the
 * text's own targets; true: of targets drawn from the model. Always from squares of single examples' gradients: the
 * square of a batch's gradient is another quantity, and chooses another mask. (Sung et al. 2021, eq. 3 and 4)
 */

import { deriveSeed } from '../numerics/random.ts'
import type { Trainee, TrainingExample } from '../ports/training-engine.ts'
import { type Gate, groupByTokens } from './work-groups.ts'

export interface FisherOptions {
  readonly kind: 'empirical' | 'true'
  /** Of the targets that the true Fisher draws. */
  readonly seed: number
  readonly signal: AbortSignal
  readonly gate?: Gate
  /** Tokens a call of the trainee may take at once; see `callTokens`. */
  readonly callTokens?: number
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void | Promise<void>
}

/**
 * F[i] = 1/S Σₛ (∂ log p(sequence s) / ∂θ[i])², one array for each of the trainee's parameters. The same options give the
 * same bits. Throws `RangeError` without examples.
 */
export async function fisherScores(
  trainee: Trainee,
  examples: readonly TrainingExample[],
  { kind, seed, signal, gate, callTokens = 512, onProgress }: FisherOptions,
): Promise<Float32Array[]> {
  if (examples.length === 0) throw new RangeError('no examples to measure the Fisher information with')
  let sums: Float32Array[] = []
  let done = 0
  for (const group of groupByTokens(examples, callTokens)) {
    await gate?.(signal)
    signal.throwIfAborted()
    const drawn = kind === 'true' ? await withDrawnTargets(trainee, group, deriveSeed(seed, done), signal) : group
    sums = addAll(sums, await trainee.squaredGradients(drawn, { signal }))
    done += group.length
    await onProgress?.({ done, total: examples.length })
  }
  return sums.map((sum) => scaleInPlace(sum, 1 / examples.length))
}

async function withDrawnTargets(
  trainee: Trainee,
  examples: readonly TrainingExample[],
  seed: number,
  signal: AbortSignal,
): Promise<TrainingExample[]> {
  const targets = await trainee.sampleTargets(examples, { seed, signal })
  return examples.map((example, i) => ({ ...example, targets: Array.from(targets[i] ?? []) }))
}

/** The first addend is copied: what a trainee gives need not outlive its next call. */
function addAll(sums: Float32Array[], addends: readonly Float32Array[]): Float32Array[] {
  if (sums.length === 0) return addends.map((addend) => addend.slice())
  for (const [p, sum] of sums.entries()) {
    const addend = addends[p] as Float32Array
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (addend[i] as number)
  }
  return sums
}

function scaleInPlace(values: Float32Array, factor: number): Float32Array {
  for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) * factor
  return values
}
