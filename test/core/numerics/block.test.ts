import { describe, expect, it } from 'vitest'
import { type BlockWeights, blockForward, blockShapes } from '#core/numerics/block.ts'
import { createKeyValueCache } from '#core/numerics/key-value-cache.ts'
import { addBias } from '#core/numerics/linear.ts'
import { rmsNorm } from '#core/numerics/rms-norm.ts'
import { createRandom, tinyConfig } from '#test/fakes/model-handle.ts'

/** Two heads of four, each with its own key and value: small enough to follow. */
const config = tinyConfig({ hiddenSize: 8, intermediateSize: 4, headCount: 2, kvHeadCount: 2, headSize: 4 })
const random = createRandom(9)
const vector = (length: number) => Float64Array.from({ length }, () => random())

function weightsOf(shape = config): BlockWeights {
  const entries = Object.entries(blockShapes(shape)).map(([role, dimensions]) => [
    role,
    vector(dimensions.reduce((a, b) => a * b, 1)),
  ])
  return Object.fromEntries(entries) as BlockWeights
}

const run = (x: Float64Array, weights: BlockWeights, shape = config) => {
  const cache = createKeyValueCache()
  return { output: blockForward(x, weights, cache, shape), cache }
}

describe('the tensors of a block', () => {
  it('are nine for a Llama, and what a relative adds besides', () => {
    expect(Object.keys(blockShapes(config))).toHaveLength(9)
    const shapes = blockShapes({ ...config, kvHeadCount: 1, attentionBias: true, queryKeyNorm: true })
    expect(shapes).toMatchObject({ queryBias: [8], keyBias: [4], valueBias: [4], queryNorm: [4], keyNorm: [4] })
    expect(Object.keys(shapes)).toHaveLength(14)
  })
})

describe('attention biases', () => {
  const biased = { ...config, attentionBias: true } as const
  const x = vector(3 * 8)
  const zero = new Float64Array(8)

  it('of zero change nothing', () => {
    const weights = weightsOf()
    const zeros = { ...weights, queryBias: zero, keyBias: zero, valueBias: zero }
    expect(run(x, zeros, biased).output).toEqual(run(x, weights).output)
  })

  it('are added to every token’s values before the cache remembers them', () => {
    const weights = {
      ...weightsOf(),
      value: new Float64Array(64),
      queryBias: zero,
      keyBias: zero,
      valueBias: vector(8),
    }
    const { cache } = run(x, weights, biased)
    for (let t = 0; t < 3; t++) expect(cache.values.subarray(8 * t, 8 * t + 8)).toEqual(weights.valueBias)
  })

  it('of keys are turned by their position, like the keys they are added to', () => {
    const weights = { ...weightsOf(), key: new Float64Array(64), queryBias: zero, keyBias: vector(8), valueBias: zero }
    const { cache } = run(x, weights, biased)
    expect(cache.keys.subarray(0, 8)).toEqual(weights.keyBias)
    const [a = 0, b = 0] = [weights.keyBias[0], weights.keyBias[2]] // the first pair of the first head, one radian on
    expect(cache.keys[8]).toBeCloseTo(a * Math.cos(1) - b * Math.sin(1), 12)
    expect(cache.keys[10]).toBeCloseTo(a * Math.sin(1) + b * Math.cos(1), 12)
  })

  it('are added row by row', () => {
    expect([...addBias(Float64Array.of(1, 2, 3, 4), Float64Array.of(10, 20))]).toEqual([11, 22, 13, 24])
  })
})

describe('norms of queries and keys', () => {
  const normed = { ...config, queryKeyNorm: true } as const
  const x = vector(8)

  it('make each head’s key of length √headSize, before the gain, and leave values alone', () => {
    const weights = weightsOf()
    const ones = new Float64Array(4).fill(1)
    const { cache } = run(x, { ...weights, queryNorm: ones, keyNorm: ones }, normed)
    for (const head of [cache.keys.subarray(0, 4), cache.keys.subarray(4, 8)]) {
      expect(Math.hypot(...head)).toBeCloseTo(2, 4)
    }
    expect(cache.values).toEqual(run(x, weights).cache.values)
  })

  it('are those of single heads, with one gain for all heads', () => {
    const weights = weightsOf()
    const keyNorm = vector(4)
    const plain = run(x, weights).cache.keys // position 0: not turned
    const { keys } = run(x, { ...weights, queryNorm: vector(4), keyNorm }, normed).cache
    for (const start of [0, 4]) {
      const head = rmsNorm(plain.subarray(start, start + 4), keyNorm, config.rmsNormEpsilon)
      for (const [i, value] of head.entries()) expect(keys[start + i]).toBeCloseTo(value, 12)
    }
  })

  it('come before the turn by position', () => {
    const weights = { ...weightsOf(), queryNorm: vector(4), keyNorm: vector(4) }
    const { keys } = run(Float64Array.of(...x, ...x), weights, normed).cache
    const [a = 0, b = 0] = [keys[0], keys[2]]
    expect(keys[8]).toBeCloseTo(a * Math.cos(1) - b * Math.sin(1), 12)
  })

  it('make a block deaf to how large queries and keys are', () => {
    const weights = { ...weightsOf(), queryNorm: vector(4), keyNorm: vector(4) }
    const louder = { ...weights, query: weights.query.map((w) => 1000 * w), key: weights.key.map((w) => 1000 * w) }
    const tokens = vector(4 * 8)
    const [quiet, loud] = [run(tokens, weights, normed).output, run(tokens, louder, normed).output]
    for (const [i, value] of quiet.entries()) expect(loud[i]).toBeCloseTo(value, 2)
  })
})
