import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import { elementCount, expectedTensors } from '#core/models/expected-tensors.ts'
import { type ModelWeights, modelForward } from '#core/numerics/model.ts'
import { logSoftmax } from '#core/numerics/softmax.ts'
import { type ChoiceScores, choiceLoss } from '#core/training/choice-loss.ts'
import { weighBatch } from '#core/training/items.ts'
import type { ChoiceExample } from '#core/training/run-types.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { oracleWeights } from '#test/compliance/engine/oracle.ts'
import { createRandom, randomModel } from '#test/fakes/model-handle.ts'
import { countingQuestions, countingTexts, smallConfig } from './tiny-run.ts'

const choices = fc
  .array(fc.array(fc.double({ min: -6, max: -0.05, noNaN: true }), { minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: 4,
  })
  .chain((all) => fc.record({ all: fc.constant(all), answer: fc.nat({ max: all.length - 1 }) }))

/** The paper's three losses, written down once more from its formulas. */
function plainLoss(all: readonly (readonly number[])[], answer: number): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const betas = all.map(mean)
  const wrong = all.filter((_, n) => n !== answer).flat()
  const unlikelihood = wrong.map((logProbability) => -Math.log(1 - Math.exp(logProbability) + 0.01))
  const likeliest = betas.map(Math.exp).reduce((sum, value) => sum + value, 0)
  const [own] = betas.slice(answer)
  return -(own ?? 0) + (wrong.length > 0 ? mean(unlikelihood) : 0) - ((own ?? 0) - Math.log(likeliest))
}

const scored = (all: readonly (readonly number[])[]): ChoiceScores[] =>
  all.map((values) => ({ logProbabilities: Float32Array.from(values) }))

describe("T-Few's loss", () => {
  it('is the sum of likelihood, unlikelihood and length-normalised choice', () => {
    fc.assert(
      fc.property(choices, ({ all, answer }) => {
        expect(choiceLoss(scored(all), answer).loss).toBeCloseTo(plainLoss(all, answer), 4)
      }),
    )
  })

  it('has the slopes of its formula as weights of the targets', () => {
    fc.assert(
      fc.property(choices, ({ all, answer }) => {
        const { targetWeights } = choiceLoss(scored(all), answer)
        for (const [n, values] of all.entries()) {
          for (const t of values.keys()) {
            const moved = (by: number) =>
              plainLoss(
                all.map((row, m) => (m === n ? row.with(t, (row[t] ?? 0) + by) : row)),
                answer,
              )
            const slope = (moved(1e-5) - moved(-1e-5)) / 2e-5
            expect(-(targetWeights[n]?.[t] ?? Number.NaN)).toBeCloseTo(slope, 3)
          }
        }
      }),
    )
  })

  it('leaves tokens of the question out', () => {
    const weights = Float32Array.of(0, 1, 1)
    const withQuestion = [
      { logProbabilities: Float32Array.of(-9, -1, -2), weights },
      { logProbabilities: Float32Array.of(-9, -3, -0.5), weights },
    ]
    const alone = scored([
      [-1, -2],
      [-3, -0.5],
    ])
    const { loss, targetWeights } = choiceLoss(withQuestion, 0)
    expect(loss).toBe(choiceLoss(alone, 0).loss)
    expect(targetWeights.map(([first]) => first)).toEqual([0, 0])
  })

  it('stays finite for a wrong choice that is certain', () => {
    const { loss, targetWeights } = choiceLoss(scored([[-1], [0]]), 0)
    expect(Number.isFinite(loss)).toBe(true)
    expect(targetWeights.flatMap((row) => [...row]).every(Number.isFinite)).toBe(true)
  })

  it('says whether the answer is the likeliest for its length', () => {
    expect(choiceLoss(scored([[-1, -1, -1], [-2]]), 0).right).toBe(true)
    expect(choiceLoss(scored([[-1], [-0.5, -0.5, -1.1]]), 0).right).toBe(false)
    expect(choiceLoss(scored([[-1], [-1]]), 0).right).toBe(false)
  })

  it('refuses a question without the answer, or a choice without tokens', () => {
    expect(() => choiceLoss(scored([[-1]]), 1)).toThrow(RangeError)
    expect(() => choiceLoss([{ logProbabilities: Float32Array.of(-1), weights: Float32Array.of(0) }], 0)).toThrow(
      'choice 0',
    )
  })

  it('goes down by the gradient that the trainee computes: central differences in float64 agree', async () => {
    const model = randomModel(smallConfig, 1)
    const names = expectedTensors(smallConfig).filter(({ name }) =>
      /embed|layers\.1.*(v_proj|down)|model\.norm/.test(name),
    )
    const trainee = await createTrainingEngine().loadTrainee(model, {
      parameters: names.map(({ name }) => ({ kind: 'tensor', name })),
      threads: 1,
    })
    const batch = [...countingQuestions(3, 1), ...countingTexts(1, 2)]
    const signal = new AbortController().signal
    const { examples, loss } = await weighBatch(trainee, batch, { signal, gate: async () => {}, callTokens: 40 })
    const { gradients } = await trainee.gradients(examples)
    const weights = inFloat64(await oracleWeights(model))
    const batchLoss = () => batch.reduce((sum, item) => sum + oracleLoss(item, weights), 0)
    expect(loss).toBeCloseTo(batchLoss() / batch.length, 5)
    for (const [i, { name, shape }] of names.entries()) {
      const random = createRandom(i)
      const direction = Array.from({ length: elementCount(shape) }, () => random())
      const slope = direction.reduce((sum, d, k) => sum + d * (gradients[i]?.[k] ?? Number.NaN), 0)
      const tensor = tensorIn(weights, name)
      const along = (by: number) => {
        const before = tensor.slice()
        for (const [k, d] of direction.entries()) tensor[k] = (tensor[k] ?? 0) + by * d
        const moved = batchLoss()
        tensor.set(before)
        return moved
      }
      const expected = (along(1e-5) - along(-1e-5)) / 2e-5
      expect(Math.abs(slope / expected - 1)).toBeLessThan(1e-3)
    }
    await trainee.dispose()
  })
})

function inFloat64({ embedding, blocks, finalNorm, head }: ModelWeights) {
  return {
    embedding: Float64Array.from(embedding),
    blocks: blocks.map((block) => ({
      ...block,
      value: Float64Array.from(block.value),
      down: Float64Array.from(block.down),
    })),
    finalNorm: Float64Array.from(finalNorm),
    head: Float64Array.from(head),
  }
}

function tensorIn(weights: ReturnType<typeof inFloat64>, name: string): Float64Array {
  if (name === tensorNames.embedding) return weights.embedding
  if (name === tensorNames.finalNorm) return weights.finalNorm
  const block = weights.blocks[1]
  if (block === undefined) throw new Error('the model has two blocks')
  return name.includes('v_proj') ? block.value : block.down
}

function oracleLoss(item: ReturnType<typeof countingTexts>[number] | ChoiceExample, weights: ModelWeights): number {
  if (!('choices' in item)) {
    const values = oracleLogProbabilities(item.tokens, weights)
    return -values.reduce((sum, value) => sum + value, 0) / values.length
  }
  const own = item.choices.map(({ tokens, targetWeights }) =>
    oracleLogProbabilities(tokens, weights).filter((_, t) => targetWeights?.[t] === 1),
  )
  return plainLoss(own, item.answer)
}

function oracleLogProbabilities(tokens: readonly number[], weights: ModelWeights): number[] {
  const { logits } = modelForward(tokens.slice(0, -1), weights, smallConfig)
  const size = smallConfig.vocabularySize
  return tokens.slice(1).map((token, t) => logSoftmax(logits.subarray(t * size, (t + 1) * size))[token] ?? Number.NaN)
}
