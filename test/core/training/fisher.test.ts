import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import type { Trainee } from '#core/ports/training-engine.ts'
import { fisherScores } from '#core/training/fisher.ts'
import { groupByTokens } from '#core/training/work-groups.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'
import { randomModel } from '#test/fakes/model-handle.ts'
import { countingTexts, smallConfig } from './tiny-run.ts'

const examples = countingTexts(6, 1)
const { signal } = new AbortController()
const empirical = { kind: 'empirical', seed: 1, signal } as const

describe('the Fisher information', () => {
  let trainee: Trainee
  beforeAll(async () => {
    trainee = await createTrainingEngine().loadTrainee(randomModel(smallConfig, 1), {
      parameters: [
        { kind: 'tensor', name: tensorNames.embedding },
        { kind: 'entries', name: tensorNames.block(1).up, indices: Uint32Array.of(3, 5, 100) },
      ],
      threads: 1,
    })
  })
  afterAll(() => trainee.dispose())

  it('is the mean of squared gradients of single examples, never of a batch', async () => {
    const scores = await fisherScores(trainee, examples, empirical)
    const expected = scores.map((each) => new Float64Array(each.length))
    for (const example of examples) {
      const { gradients } = await trainee.gradients([example])
      for (const [p, gradient] of gradients.entries()) {
        for (const [i, g] of gradient.entries())
          (expected[p] as Float64Array)[i] = (expected[p]?.[i] ?? 0) + (g * g) / 6
      }
    }
    for (const [p, each] of scores.entries()) expect(relativeError(each, expected[p] ?? [])).toBeLessThan(1e-5)
    const { gradients } = await trainee.gradients(examples)
    const ofBatch = (gradients[1] ?? new Float32Array()).map((g) => (g * g) / 6)
    expect(relativeError(ofBatch, expected[1] ?? [])).toBeGreaterThan(0.1)
  })

  it('takes its examples in pieces, waits at the gate before each, and tells how far it is', async () => {
    const told: number[] = []
    let gates = 0
    const gate = async () => void gates++
    const onProgress = ({ done, total }: { done: number; total: number }) => void told.push(done / total)
    const whole = await fisherScores(trainee, examples, { ...empirical, callTokens: 10_000 })
    const pieces = await fisherScores(trainee, examples, { ...empirical, callTokens: 25, gate, onProgress })
    expect(told).toEqual([2 / 6, 4 / 6, 1])
    expect(gates).toBe(3)
    for (const [p, each] of pieces.entries()) expect(relativeError(each, whole[p] ?? [])).toBeLessThan(1e-6)
  })

  it('is true when targets are drawn from the model: another measure, the same for the same seed', async () => {
    const drawn = (seed: number) => fisherScores(trainee, examples, { kind: 'true', seed, signal })
    const [one, again, other] = [await drawn(1), await drawn(1), await drawn(2)]
    expect(again).toEqual(one)
    expect(other).not.toEqual(one)
    expect(await fisherScores(trainee, examples, empirical)).not.toEqual(one)
  })

  it('stops when aborted, and wants examples', async () => {
    const abort = new AbortController()
    const gate = async () => abort.abort(new Error('enough'))
    await expect(fisherScores(trainee, examples, { ...empirical, signal: abort.signal, gate })).rejects.toThrow(
      'enough',
    )
    await expect(fisherScores(trainee, [], empirical)).rejects.toThrow(RangeError)
  })
})

it('pieces of work hold so many tokens together, or one item that is longer', () => {
  const items = [3, 3, 9, 1, 1, 1, 4].map((length) => ({ tokens: Array.from({ length }, () => 0) }))
  const lengths = groupByTokens(items, 6).map((group) => group.map(({ tokens }) => tokens.length))
  expect(lengths).toEqual([[3, 3], [9], [1, 1, 1], [4]])
  expect(groupByTokens([], 6)).toEqual([])
})
