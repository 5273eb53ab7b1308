/**
 * Experiment 6: two workers who share a mask and keep their data, on digits turned by a quarter. Their digits are of one kind
 * (every class on both sides). Three seeds, mean; observed values (2026-11-23) beside the bounds. With five classes on each side
 * both masks fell to a quarter of the digits or less (FISH 0.25, random 0.22): at this size nothing can be claimed there.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { encodeIndices } from '#contracts/patch-file/index-codec.ts'
import { encodeValues } from '#contracts/patch-file/value-codec.ts'
import { type Digits, someDigits, turnedDigits } from '#test/helpers/digits.ts'
import { accuracy, type Mlp, parameterCount } from '#test/helpers/mlp.ts'
import { drawSets, fishMask, type Mask, mean, randomMask, seeds, trainBase, trainFederated } from './digit-runs.ts'

const steps = 400
const learningRate = 3e-2

interface Task {
  readonly seed: number
  readonly base: Mlp
  readonly shards: readonly Digits[]
  readonly test: Digits
  readonly fish: Mask
}

let tasks: Task[] = []

beforeAll(() => {
  tasks = seeds.map((seed) => {
    const sets = drawSets(seed)
    const base = trainBase(sets.base, seed)
    const [train, test] = [turnedDigits(sets.train), turnedDigits(sets.test)]
    const shards = [someDigits(train, 0, 1_000), someDigits(train, 1_000, 2_000)]
    return { seed, base, shards, test, fish: fishMask(base, train, 0.005, { examples: 1_024, seed }) }
  })
}, 180_000)

function together({ base, shards, test, seed }: Task, mask: Mask, mergeEvery: number): number {
  const { model } = trainFederated(base, shards, mask, { steps, learningRate, seed, mergeEvery })
  return accuracy(model, test)
}

describe('experiment 6: workers who share a mask of 0.5 %', { timeout: 180_000 }, () => {
  let oftenMerged = 0

  it('learn more with a FISH mask than with a random one', () => {
    // Observed: FISH 0.61, random 0.28; one worker with all the data, see experiment 2: 0.61 and 0.29.
    oftenMerged = mean(tasks.map((task) => together(task, task.fish, 10)))
    const random = mean(tasks.map((task) => together(task, randomMask(task.base, 0.005, task.seed), 10)))
    expect(oftenMerged - random).toBeGreaterThan(0.2)
  })

  it('may merge twenty times less often', () => {
    // Observed: every 10 steps 0.61, every 200 steps 0.61.
    const seldom = mean(tasks.map((task) => together(task, task.fish, 200)))
    expect(seldom).toBeGreaterThan(oftenMerged - 0.05)
  })

  it('tell each other 0.5 % of the model a round, and the mask once', () => {
    const { base, shards, fish, seed } = tasks[0] as Task
    const { valuesPerRound } = trainFederated(base, shards, fish, { steps: 2, learningRate, seed, mergeEvery: 1 })
    const denseBytes = 4 * parameterCount(base)
    const roundBytes = encodeValues(new Float32Array(valuesPerRound), 'float32').length
    expect(roundBytes / denseBytes).toBeLessThan(0.006)
    const outputs = base.sizes.slice(1)
    const maskBytes = fish.map((indices, t) => {
      const tensor = base.tensors[t] as Float32Array
      const width = outputs[t >> 1] as number
      return indices.length === 0
        ? 0
        : encodeIndices(indices, t % 2 === 0 ? [tensor.length / width, width] : [width]).length
    })
    expect(maskBytes.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(roundBytes)
  })
})
