/**
 * What the experiments share: a base trained on drawn digits, and runs that adapt it, with the product's own mask selection
 * (`selectLargest`) and optimizer (`createOptimizer`, which holds and changes a mask's entries only).
 */
import { createRandom, deriveSeed, shuffledIndices } from '#core/numerics/random.ts'
import { selectLargest } from '#core/training/top-k.ts'
import { createOptimizer } from '#engines/training/optimizer.ts'
import { type Digits, drawDigits, someDigits } from '#test/helpers/digits.ts'
import {
  type Batch,
  copyMlp,
  createMlp,
  gradients,
  identityScales,
  type Mlp,
  maskedGradients,
  parameterCount,
  scaleGradients,
  squaredGradients,
} from '#test/helpers/mlp.ts'

export type Mask = readonly Uint32Array[]

export interface RunOptions {
  readonly steps: number
  readonly learningRate: number
  readonly seed: number
  readonly batchSize?: number
}

const adam = { kind: 'adamw', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 } as const

/** Digits to train a base on, to adapt it with, and to measure with: none in two of them. */
export interface DigitSets {
  readonly base: Digits
  readonly train: Digits
  readonly test: Digits
}

export function drawSets(seed: number): DigitSets {
  const all = drawDigits(4_500, deriveSeed(seed, 1))
  return { base: someDigits(all, 0, 1_500), train: someDigits(all, 1_500, 3_500), test: someDigits(all, 3_500, 4_500) }
}

export function trainBase(digits: Digits, seed: number): Mlp {
  return trainDense(createMlp([196, 192, 96, 10], deriveSeed(seed, 2)), digits, {
    steps: 300,
    learningRate: 3e-3,
    seed,
  })
}

/** All parameters. */
export function trainDense(base: Mlp, digits: Digits, options: RunOptions): Mlp {
  const model = copyMlp(base)
  const optimizer = createOptimizer(model.tensors.map((array) => ({ array })))
  for (const { batch, learningRate } of steps(digits, options)) {
    optimizer.step(gradients(model, digits, batch), 1 / batch.length, { ...adam, learningRate })
  }
  return model
}

/** The mask's entries, and none besides. */
export function trainMasked(base: Mlp, digits: Digits, mask: Mask, options: RunOptions): Mlp {
  const model = copyMlp(base)
  const numbers = model.tensors.map((array, index) => ({ array, indices: mask[index] as Uint32Array }))
  const optimizer = createOptimizer(numbers)
  for (const { batch, learningRate } of steps(digits, options)) {
    optimizer.step(maskedGradients(model, digits, batch, mask), 1 / batch.length, { ...adam, learningRate })
  }
  return model
}

/** (IA)³: vectors on the hidden activations, from ones. */
export function trainScales(base: Mlp, digits: Digits, options: RunOptions): Float32Array[] {
  const scales = identityScales(base)
  const optimizer = createOptimizer(scales.map((array) => ({ array })))
  for (const { batch, learningRate } of steps(digits, options)) {
    optimizer.step(scaleGradients(base, digits, batch, scales), 1 / batch.length, { ...adam, learningRate })
  }
  return scales
}

/** Batches drawn by the seed; the rate falls linearly. */
function* steps({ labels }: Digits, { steps: count, learningRate, seed, batchSize = 32 }: RunOptions) {
  const random = createRandom(deriveSeed(seed, 3))
  for (let step = 0; step < count; step++) {
    const batch: Batch = Array.from({ length: batchSize }, () => Math.floor(random() * labels.length))
    yield { batch, learningRate: learningRate * (1 - step / count) }
  }
}

export function keptCount(model: Mlp, keepRatio: number): number {
  return Math.round(keepRatio * parameterCount(model))
}

/** The entries of the highest Fisher information over `examples` digits, drawn by the seed. */
export function fishMask(
  base: Mlp,
  digits: Digits,
  keepRatio: number,
  options: { examples: number; seed: number },
): Mask {
  const drawn = [...shuffledIndices(digits.labels.length, options.seed).subarray(0, options.examples)]
  return selectLargest(squaredGradients(base, digits, drawn), keptCount(base, keepRatio))
}

/** As many entries by chance. */
export function randomMask(base: Mlp, keepRatio: number, seed: number): Mask {
  const random = createRandom(deriveSeed(seed, 4))
  const scores = base.tensors.map(({ length }) => Float32Array.from({ length }, random))
  return selectLargest(scores, keptCount(base, keepRatio))
}

/** Shared entries over those of one mask; both have as many. */
export function overlap(a: Mask, b: Mask): number {
  let [shared, total] = [0, 0]
  for (const [index, indices] of a.entries()) {
    const others = new Set(b[index])
    total += indices.length
    for (const place of indices) if (others.has(place)) shared++
  }
  return shared / total
}

export const seeds = [1, 2, 3] as const

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

export interface FederatedOptions extends RunOptions {
  /** Steps of each worker between two merges. */
  readonly mergeEvery: number
}

/**
 * Workers that share a mask and keep their digits: after every few steps each tells the change of the mask's values, and
 * all go on from the mean (Sung et al. 2021, §4.3). Each keeps its optimizer's moments. -> the model, and values told a worker a round
 */
export function trainFederated(
  base: Mlp,
  shards: readonly Digits[],
  mask: Mask,
  { mergeEvery, ...options }: FederatedOptions,
): { readonly model: Mlp; readonly valuesPerRound: number } {
  const merged = copyMlp(base)
  const workers = shards.map((digits, index) => {
    const model = copyMlp(base)
    const numbers = model.tensors.map((array, t) => ({ array, indices: mask[t] as Uint32Array }))
    const draws = steps(digits, { ...options, seed: deriveSeed(options.seed, index) })
    return { digits, model, draws, optimizer: createOptimizer(numbers) }
  })
  let valuesPerRound = 0
  for (let step = 0; step < options.steps; step += mergeEvery) {
    for (const worker of workers) runSteps(worker, mask, Math.min(mergeEvery, options.steps - step))
    const told = workers.map(({ model }) => changeAt(model, merged, mask))
    valuesPerRound = (told[0] ?? []).reduce((sum, { length }) => sum + length, 0)
    addMean(merged, told, mask)
    for (const { model } of workers)
      for (const [t, tensor] of model.tensors.entries()) tensor.set(merged.tensors[t] ?? [])
  }
  return { model: merged, valuesPerRound }
}

interface Worker {
  readonly digits: Digits
  readonly model: Mlp
  readonly draws: ReturnType<typeof steps>
  readonly optimizer: ReturnType<typeof createOptimizer>
}

function runSteps({ digits, model, draws, optimizer }: Worker, mask: Mask, count: number): void {
  for (let step = 0; step < count; step++) {
    const { value } = draws.next()
    if (value === undefined) return
    const { batch, learningRate } = value
    optimizer.step(maskedGradients(model, digits, batch, mask), 1 / batch.length, { ...adam, learningRate })
  }
}

function changeAt(model: Mlp, from: Mlp, mask: Mask): Float32Array[] {
  return mask.map((indices, t) => {
    const [now, before] = [model.tensors[t] as Float32Array, from.tensors[t] as Float32Array]
    return Float32Array.from(indices, (place) => (now[place] as number) - (before[place] as number))
  })
}

function addMean(model: Mlp, told: readonly Float32Array[][], mask: Mask): void {
  for (const [t, indices] of mask.entries()) {
    const tensor = model.tensors[t] as Float32Array
    for (const [k, place] of indices.entries()) {
      const sum = told.reduce((total, change) => total + (change[t]?.[k] as number), 0)
      tensor[place] = (tensor[place] as number) + sum / told.length
    }
  }
}
