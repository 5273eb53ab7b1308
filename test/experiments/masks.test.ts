/**
 * Which mask to train with: experiments 1-3 of the research on drawn digits. The base is a perceptron of 57,322 parameters,
 * trained on upright digits; it is adapted to digits turned by a quarter, and to digits that go by each other's names. Three
 * seeds, of which the mean is held to the bound; what was observed stands beside each (2026-11-23). The rate was tuned for each
 * kind of run: 3e-2 for masks of up to 2 %, 1e-2 for 10 %, 3e-3 dense. That FISH beats a random mask from 10 % on, or beats
 * magnitudes, is not claimed: here it does not.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { shuffledIndices } from '#core/numerics/random.ts'
import { selectLargest } from '#core/training/top-k.ts'
import { type Digits, renamedDigits, turnedDigits } from '#test/helpers/digits.ts'
import { accuracy, gradients, type Mlp, squaredGradients } from '#test/helpers/mlp.ts'
import {
  drawSets,
  fishMask,
  keptCount,
  type Mask,
  mean,
  overlap,
  randomMask,
  seeds,
  trainBase,
  trainDense,
  trainMasked,
} from './digit-runs.ts'

const steps = 400
/** Seconds on an idle machine. */
const patience = { timeout: 180_000 } as const
const examples = 1_024

interface Task {
  readonly seed: number
  readonly base: Mlp
  readonly train: Digits
  readonly test: Digits
}

function dense({ base, train, test, seed }: Task): number {
  return accuracy(trainDense(base, train, { steps, learningRate: 3e-3, seed }), test)
}

function masked({ base, train, test, seed }: Task, mask: Mask, learningRate: number): number {
  return accuracy(trainMasked(base, train, mask, { steps, learningRate, seed }), test)
}

function fish(task: Task, keepRatio: number): number {
  const mask = fishMask(task.base, task.train, keepRatio, { examples, seed: task.seed })
  return masked(task, mask, keepRatio > 0.02 ? 1e-2 : 3e-2)
}

function random(task: Task, keepRatio: number): number {
  return masked(task, randomMask(task.base, keepRatio, task.seed), 3e-2)
}

const overSeeds = (tasks: readonly Task[], measure: (task: Task) => number) => mean(tasks.map(measure))

let turned: Task[] = []
let renamed: Task[] = []

beforeAll(() => {
  const bases = seeds.map((seed) => {
    const sets = drawSets(seed)
    return { seed, sets, base: trainBase(sets.base, seed) }
  })
  const tasks = (change: (digits: Digits) => Digits) =>
    bases.map(({ seed, sets, base }) => ({ seed, base, train: change(sets.train), test: change(sets.test) }))
  turned = tasks(turnedDigits)
  renamed = tasks(renamedDigits)
  // Bases: 0.964, 0.968, 0.968 on upright digits.
  for (const { base, sets } of bases) expect(accuracy(base, sets.test)).toBeGreaterThan(0.94)
}, patience.timeout)

describe('experiment 1: a mask of 0.5 % by Fisher information beats a random one', patience, () => {
  it('by far when digits are renamed, and comes near dense training', () => {
    // Observed: FISH 0.935, random 0.197, dense 0.976.
    const byFisher = overSeeds(renamed, (task) => fish(task, 0.005))
    expect(byFisher - overSeeds(renamed, (task) => random(task, 0.005))).toBeGreaterThan(0.5)
    expect(overSeeds(renamed, dense) - byFisher).toBeLessThan(0.07)
  })
})

describe('experiment 2: more of the model kept, more learnt', patience, () => {
  it('of turned digits, and FISH beats a random mask at 0.5 %', () => {
    // Observed for 0.1, 0.5, 2, 10 %: 0.225, 0.609, 0.833, 0.920; dense 0.972; random at 0.5 % 0.289.
    const [least, few, some, many] = [0.001, 0.005, 0.02, 0.1].map((ratio) =>
      overSeeds(turned, (task) => fish(task, ratio)),
    ) as [number, number, number, number]
    expect(few - least).toBeGreaterThan(0.2)
    expect(some - few).toBeGreaterThan(0.1)
    expect(many - some).toBeGreaterThan(0.03)
    expect(overSeeds(turned, dense) - many).toBeLessThan(0.08)
    expect(few - overSeeds(turned, (task) => random(task, 0.005))).toBeGreaterThan(0.2)
  })
})

describe('experiment 3: a FISH mask is a property of the task, not of the sample', patience, () => {
  const keepRatio = 0.005

  /** Of two masks from samples drawn apart. */
  const agreement = (count: number) =>
    overSeeds(turned, ({ base, train, seed }) => {
      const [a, b] = [seed + 200, seed + 300].map((drawn) =>
        fishMask(base, train, keepRatio, { examples: count, seed: drawn }),
      )
      return overlap(a as Mask, b as Mask)
    })

  it('two samples of 256 agree, two of 1,024 agree more', () => {
    // Observed: 0.893 (0.878 at least) and 0.950 (0.944 at least).
    expect(agreement(256)).toBeGreaterThan(0.85)
    expect(agreement(1_024)).toBeGreaterThan(0.92)
  })

  it('another task has another mask, though not wholly', () => {
    // Observed: 0.606; two random masks share 0.005.
    const shared = turned.map(({ base, train }, index) => {
      const other = (renamed[index] as Task).train
      const [a, b] = [train, other].map((digits) => fishMask(base, digits, keepRatio, { examples: 2_000, seed: 9 }))
      return overlap(a as Mask, b as Mask)
    })
    expect(mean(shared)).toBeLessThan(0.7)
    expect(mean(shared)).toBeGreaterThan(0.05)
  })

  it('squares of a batch’s gradient choose another mask than squares of single examples’', () => {
    // Observed overlap of the masks: batches of 64 0.750. Batches of 1 are single examples: the same scores.
    const { base, train } = turned[0] as Task
    const some = [4, 8, 15, 16, 23, 42]
    expect(relativeDifference(batchScores(base, train, some, 1), squaredGradients(base, train, some))).toBeLessThan(
      1e-5,
    )
    const ofBatches = overSeeds(turned, ({ base, train }) => {
      const order = [...shuffledIndices(train.labels.length, 7)].slice(0, 1_984)
      const mask = selectLargest(batchScores(base, train, order, 64), keptCount(base, keepRatio))
      return overlap(mask, selectLargest(squaredGradients(base, train, order), keptCount(base, keepRatio)))
    })
    expect(ofBatches).toBeLessThan(0.85)
  })

  /** The shortcut that is no Fisher information: the square of the batch's gradient in place of the examples'. */
  function batchScores(base: Mlp, digits: Digits, order: readonly number[], batchSize: number): Float32Array[] {
    const sums = base.tensors.map(({ length }) => new Float32Array(length))
    for (let begin = 0; begin < order.length; begin += batchSize) {
      for (const [t, gradient] of gradients(base, digits, order.slice(begin, begin + batchSize)).entries()) {
        const sum = sums[t] as Float32Array
        for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (gradient[i] as number) ** 2
      }
    }
    return sums
  }

  /** The largest difference over the largest value, of all tensors together. */
  function relativeDifference(a: readonly Float32Array[], b: readonly Float32Array[]): number {
    const flat = b.flatMap((tensor) => [...tensor])
    const difference = a.flatMap((tensor) => [...tensor]).map((value, i) => Math.abs(value - (flat[i] as number)))
    const largest = (values: readonly number[]) => values.reduce((most, value) => Math.max(most, value), 0)
    return largest(difference) / largest(flat)
  }
})

describe('a masked run', () => {
  it('leaves every number outside of the mask as it was, to the bit', () => {
    const { base, train, seed } = turned[0] as Task
    const mask = fishMask(base, train, 0.005, { examples: 256, seed })
    const model = trainMasked(base, train, mask, { steps: 20, learningRate: 3e-2, seed })
    for (const [t, tensor] of model.tensors.entries()) {
      const inMask = new Set(mask[t])
      const before = base.tensors[t] as Float32Array
      const leaks = tensor.filter((value, place) => !inMask.has(place) && value !== before[place])
      expect(leaks).toHaveLength(0)
    }
  })
})
