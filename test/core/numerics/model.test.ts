import { describe, expect, it } from 'vitest'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { type BlockWeights, blockShapes } from '#core/numerics/block.ts'
import { createCaches, type ModelWeights, modelForward } from '#core/numerics/model.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'
import { createRandom, tinyConfig, tinyRelatives } from '#test/fakes/model-handle.ts'

function randomWeights(config: ModelConfig): ModelWeights {
  const random = createRandom(1)
  const matrix = (...shape: readonly number[]) =>
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random() / 4)
  const block = () =>
    Object.fromEntries(Object.entries(blockShapes(config)).map(([role, shape]) => [role, matrix(...shape)]))
  return {
    embedding: matrix(config.vocabularySize, config.hiddenSize),
    blocks: Array.from({ length: config.blockCount }, () => block() as BlockWeights),
    finalNorm: matrix(config.hiddenSize),
    head: matrix(config.vocabularySize, config.hiddenSize),
  }
}

describe('modelForward', () => {
  const config = tinyConfig()
  const weights = randomWeights(config)

  it('gives hidden states before and after every block, and logits', () => {
    const { hidden, logits } = modelForward([1, 2, 3], weights, config)
    expect(hidden.map((x) => x.length)).toEqual([96, 96, 96, 96])
    expect(logits.length).toBe(3 * 40)
  })

  it('gives the same token by token as at once', () => {
    const tokens = [5, 1, 39, 7]
    const caches = createCaches(config)
    const logits = tokens.flatMap((token) => [...modelForward([token], weights, config, caches).logits])
    expect(relativeError(logits, modelForward(tokens, weights, config).logits)).toBeLessThan(1e-12)
  })

  it('does not let a later token change an earlier one', () => {
    const [a, b] = [modelForward([1, 2, 3], weights, config), modelForward([1, 2, 30], weights, config)]
    expect(a.logits.subarray(0, 80)).toEqual(b.logits.subarray(0, 80))
    expect(a.logits.subarray(80)).not.toEqual(b.logits.subarray(80))
  })

  it('refuses an id outside the vocabulary', () => {
    expect(() => modelForward([40], weights, config)).toThrow(RangeError)
  })
})

describe.each(Object.entries(tinyRelatives))('a model of the kind “%s”', (_kind, changes) => {
  const config = tinyConfig(changes)
  const weights = randomWeights(config)
  const tokens = [5, 1, 39, 7, 20, 11, 3, 30]

  it('gives the same token by token as at once', () => {
    const caches = createCaches(config)
    const logits = tokens.flatMap((token) => [...modelForward([token], weights, config, caches).logits])
    expect(relativeError(logits, modelForward(tokens, weights, config).logits)).toBeLessThan(1e-12)
  })

  it('computes something else than a Llama without what it adds', () => {
    const plain = tinyConfig({ headSize: config.headSize })
    const other = modelForward(tokens, weights, plain).logits
    const differs = relativeError(modelForward(tokens, weights, config).logits, other) > 1e-6
    expect(differs).toBe(config.ropeScaling !== undefined || config.slidingWindow !== undefined)
  })
})
