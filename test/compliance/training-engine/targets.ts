/** What examples may ask for: targets of their own, negative weights, log-probabilities, targets that the model draws. */
import { describe, expect, it } from 'vitest'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { lossGradients } from '#core/numerics/model-backward.ts'
import type { Trainee, TrainingExample } from '#core/ports/training-engine.ts'
import { randomModel } from '#test/fakes/model-handle.ts'
import { oracleWeights } from '../engine/oracle.ts'
import {
  everything,
  expectedGradient,
  firstExample,
  ragged,
  smallConfig,
  someTokens,
  type TrainingUnderTest,
  tensor,
} from './inputs.ts'

const { tokens } = firstExample
const otherTargets = someTokens(tokens.length - 1, 11)
const signedWeights = Float32Array.from(otherTargets, (_, i) => [-1.5, 1, 0, 2, -0.25][i % 5] as number)

export function describeTargets(suite: TrainingUnderTest): void {
  describe('targets', () => {
    describeLosses(suite)
    describeLogProbabilities(suite)
    describeDrawnTargets(suite)
  })
}

function describeLosses({ load, expectClose, tolerance }: TrainingUnderTest): void {
  const cases: Readonly<Record<string, TrainingExample>> = {
    'of the example’s own': { tokens, targets: otherTargets },
    'with weights of either sign': { tokens, targetWeights: signedWeights },
    'of its own with weights of either sign': { tokens, targets: otherTargets, targetWeights: signedWeights },
  }
  for (const [what, example] of Object.entries(cases)) {
    it(`${what} have the loss and all gradients of core/numerics`, async () => {
      const config = smallConfig({ tiedHead: true })
      const parameters = everything(config)
      const trainee = await load(config, parameters)
      const { lossSum, weightSum, gradients } = await trainee.gradients([example])
      const expected = lossGradients(tokens, await oracleWeights(randomModel(config, 1)), config, example)
      const scale = tokens.length * Math.log(config.vocabularySize)
      expect(Math.abs(lossSum - expected.lossSum)).toBeLessThan(tolerance * scale)
      expect(weightSum).toBeCloseTo(example.targetWeights?.reduce((sum, weight) => sum + weight, 0) ?? 9, 6)
      for (const [i, parameter] of parameters.entries()) {
        expectClose(gradients[i] ?? [], expectedGradient(expected.gradients, parameter))
      }
    })
  }

  it('that are the next tokens are what is taken when there are none', async () => {
    const trainee = await load(smallConfig({}), [tensor(tensorNames.finalNorm)])
    const said = ragged.map((example) => ({ ...example, targets: example.tokens.slice(1) }))
    expect(await trainee.gradients(said)).toEqual(await trainee.gradients(ragged))
  })
}

function describeLogProbabilities({ load, expectClose }: TrainingUnderTest): void {
  it('have their log-probabilities, each example in its place, whatever their weights', async () => {
    const config = smallConfig({})
    const trainee = await load(config, [tensor(tensorNames.finalNorm)])
    const examples = [...ragged, { tokens, targets: otherTargets, targetWeights: signedWeights }]
    const answers = await trainee.logProbabilities(examples)
    expect(answers.map(({ length }) => length)).toEqual(examples.map((example) => example.tokens.length - 1))
    for (const [i, example] of examples.entries()) {
      expectClose(answers[i] ?? [], await expectedLogProbabilities(config, example))
    }
    expect(await trainee.logProbabilities([])).toEqual([])
    await expect(trainee.logProbabilities([{ tokens: [1] }])).rejects.toThrow(RangeError)
  })
}

function describeDrawnTargets({ load }: TrainingUnderTest): void {
  it('are drawn again for the same seed, in whatever company, and others for another', async () => {
    const trainee = await load(smallConfig({}), [tensor(tensorNames.finalNorm)])
    const drawn = await trainee.sampleTargets(ragged, { seed: 7 })
    expect(drawn.map(({ length }) => length)).toEqual(ragged.map((example) => example.tokens.length - 1))
    expect(await trainee.sampleTargets(ragged, { seed: 7 })).toEqual(drawn)
    expect((await trainee.sampleTargets(ragged.slice(0, 2), { seed: 7 }))[1]).toEqual(drawn[1])
    expect(await trainee.sampleTargets(ragged, { seed: 2 ** 40 + 7 })).not.toEqual(drawn)
    await expect(trainee.sampleTargets(ragged, { seed: -1 })).rejects.toThrow(RangeError)
  })

  it('come as often as the model expects them', async () => {
    const config = smallConfig({})
    const trainee = await load(config, [tensor(tensorNames.finalNorm)])
    const example = { tokens: tokens.slice(0, 4) }
    const draws = 4_000
    const counts = new Float64Array(config.vocabularySize)
    for (const targets of await trainee.sampleTargets(
      Array.from({ length: draws }, () => example),
      { seed: 3 },
    )) {
      const last = targets[2] as number
      counts[last] = (counts[last] as number) + 1
    }
    const probabilities = await distributionAfter(trainee, example.tokens, config)
    // Pearson's statistic has the mean and half the variance of its degrees of freedom: five deviations above.
    const statistic = probabilities.reduce(
      (sum, p, token) => sum + ((counts[token] as number) - draws * p) ** 2 / (draws * p),
      0,
    )
    const freedom = config.vocabularySize - 1
    expect(statistic).toBeLessThan(freedom + 5 * Math.sqrt(2 * freedom))
  })
}

async function expectedLogProbabilities(config: ModelConfig, example: TrainingExample): Promise<Float64Array> {
  const weights = await oracleWeights(randomModel(config, 1))
  return Float64Array.from(example.tokens.slice(1), (_, position) => {
    const targetWeights = Float64Array.from(example.tokens.slice(1), (_, i) => (i === position ? 1 : 0))
    const { targets } = example
    return -lossGradients(example.tokens, weights, config, { targetWeights, ...(targets && { targets }) }).lossSum
  })
}

/** What is expected at the example's last position that predicts, by asking for each token. */
async function distributionAfter(trainee: Trainee, start: readonly number[], { vocabularySize }: ModelConfig) {
  const ways = Array.from({ length: vocabularySize }, (_, token) => ({
    tokens: start,
    targets: start.slice(1).map(() => token),
  }))
  return (await trainee.logProbabilities(ways)).map((values) => Math.exp(values.at(-1) ?? Number.NaN))
}
