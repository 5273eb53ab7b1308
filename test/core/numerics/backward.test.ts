import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { attention } from '#core/numerics/attention.ts'
import { attentionBackward } from '#core/numerics/attention-backward.ts'
import { type BlockWeights, blockForward, blockShapes } from '#core/numerics/block.ts'
import {
  type BlockGradients,
  blockBackward,
  entriesGradient,
  type MatrixRole,
  tensorGradient,
  type VectorRole,
} from '#core/numerics/block-backward.ts'
import { type BlockScales, traceBlock } from '#core/numerics/block-backward-trace.ts'
import { dot, type Floats } from '#core/numerics/floats.ts'
import { createKeyValueCache, type KeyValueCache } from '#core/numerics/key-value-cache.ts'
import { linear } from '#core/numerics/linear.ts'
import { linearInputGradient, linearWeightGradient, linearWeightGradientAt } from '#core/numerics/linear-backward.ts'
import { type ModelWeights, modelForward } from '#core/numerics/model.ts'
import { lossGradients } from '#core/numerics/model-backward.ts'
import { rmsNorm } from '#core/numerics/rms-norm.ts'
import { rmsNormBackward } from '#core/numerics/rms-norm-backward.ts'
import { applyRope } from '#core/numerics/rope.ts'
import { ropeBackward } from '#core/numerics/rope-backward.ts'
import { negativeLogLikelihood } from '#core/numerics/softmax.ts'
import { silu } from '#core/numerics/swiglu.ts'
import { gatedBackward } from '#core/numerics/swiglu-backward.ts'
import { tinyConfig } from '#test/fakes/model-handle.ts'
import { expectGradientOf, randomVector } from './differences.ts'
import { relativeError } from './relative-error.ts'

/** Tiny models of every architecture, with all its options mixed. */
const anyConfig: fc.Arbitrary<ModelConfig> = fc
  .record({
    kvHeadCount: fc.constantFrom(1, 2),
    group: fc.constantFrom(1, 3),
    headSize: fc.constantFrom(2, 6),
    hiddenSize: fc.constantFrom(5, 8),
    intermediateSize: fc.constantFrom(4, 7),
    ropeStyle: fc.constantFrom('half' as const, 'interleaved' as const),
    ropeScaling: fc.constantFrom(
      {},
      { ropeScaling: { kind: 'linear', factor: 4 } as const },
      {
        ropeScaling: {
          kind: 'llama3',
          factor: 8,
          lowFrequencyFactor: 1,
          highFrequencyFactor: 4,
          originalContextLength: 64,
        } as const,
      },
    ),
    slidingWindow: fc.constantFrom({}, { slidingWindow: 1 }, { slidingWindow: 3 }),
    attentionBias: fc.constantFrom({}, { attentionBias: true } as const),
    queryKeyNorm: fc.constantFrom({}, { queryKeyNorm: true } as const),
    tiedHead: fc.boolean(),
  })
  .map(({ kvHeadCount, group, ropeScaling, slidingWindow, attentionBias, queryKeyNorm, ...sizes }) =>
    tinyConfig({
      ...{ ...sizes, kvHeadCount, headCount: kvHeadCount * group, blockCount: 2, vocabularySize: 6 },
      ...{ ...ropeScaling, ...slidingWindow, ...attentionBias, ...queryKeyNorm },
    }),
  )

function randomBlock(config: ModelConfig, seed: number): BlockWeights {
  const entries = Object.entries(blockShapes(config)).map(([role, shape], i) => {
    const length = shape.reduce((product, dimension) => product * dimension, 1)
    const offset = shape.length === 1 ? 1 : 0
    return [role, randomVector(length, seed + i).map((value) => offset + value)] as const
  })
  return Object.fromEntries(entries) as unknown as BlockWeights
}

function randomScales({ kvHeadCount, headSize, intermediateSize }: ModelConfig, seed: number): BlockScales {
  return {
    key: randomVector(kvHeadCount * headSize, seed),
    value: randomVector(kvHeadCount * headSize, seed + 1),
    feedForward: randomVector(intermediateSize, seed + 2),
  }
}

/** L = Σ y ⊙ c for some c: its gradient at y is c. */
const weigh = (y: Floats, c: Floats) => dot(y, 0, c, 0, y.length)

describe('reverse mode of the parts', () => {
  it('of a linear map has the gradients of input and weight, all or some of it', () => {
    const [x, w, c] = [randomVector(3 * 5, 1), randomVector(4 * 5, 2), randomVector(3 * 4, 3)]
    expectGradientOf((at) => weigh(linear(at, w, 5), c), x, linearInputGradient(c, w, 5))
    const factors = { input: x, outputGradient: c, tokens: 3 }
    const whole = linearWeightGradient(factors)
    expectGradientOf((at) => weigh(linear(x, at, 5), c), w, whole)
    expect(
      relativeError(
        [...whole.keys()].map((index) => linearWeightGradientAt(factors, index)),
        whole,
      ),
    ).toBeLessThan(1e-14)
  })

  it('of RMSNorm has the gradients of input and gain', () => {
    const [x, gain, c] = [randomVector(3 * 6, 1), randomVector(6, 2), randomVector(3 * 6, 3)]
    const gradients = rmsNormBackward(c, x, gain, 0.1)
    expectGradientOf((at) => weigh(rmsNorm(at, gain, 0.1), c), x, gradients.input)
    expectGradientOf((at) => weigh(rmsNorm(x, at, 0.1), c), gain, gradients.gain)
  })

  it('of the rotation turns back', () => {
    const shape = tinyConfig({ headSize: 6, ropeTheta: 20 })
    for (const ropeStyle of ['half', 'interleaved'] as const) {
      const [x, c] = [randomVector(3 * 2 * 6, 1), randomVector(3 * 2 * 6, 2)]
      const turn = (at: Floats) => {
        const y = Float64Array.from(at)
        applyRope(y, 4, { ...shape, ropeStyle }, 2)
        return y
      }
      const gradient = Float64Array.from(c)
      ropeBackward(gradient, 4, { ...shape, ropeStyle }, 2)
      expectGradientOf((at) => weigh(turn(at), c), x, gradient)
      const back = turn(x)
      ropeBackward(back, 4, { ...shape, ropeStyle }, 2)
      expect(relativeError(back, x)).toBeLessThan(1e-12)
    }
  })

  it('of the gate has the gradients of both sides, also far from zero', () => {
    const gate = randomVector(9, 1).map((value) => 20 * value)
    const [up, c] = [randomVector(9, 2), randomVector(9, 3)]
    const run = (g: Floats, u: Floats) => weigh(g.map((z, i) => silu(z) * (u[i] as number)) as Floats, c)
    const gradients = gatedBackward(c, gate, up)
    expectGradientOf((at) => run(at, up), gate, gradients.gate)
    expectGradientOf((at) => run(gate, at), up, gradients.up)
  })

  it('of attention has the gradients of queries, keys and values, earlier positions among them', () => {
    for (const slidingWindow of [{}, { slidingWindow: 3 }]) {
      const shape = { headCount: 4, kvHeadCount: 2, headSize: 3, ...slidingWindow }
      const queries = randomVector(4 * 4 * 3, 1) // four tokens after three
      const [keys, values] = [randomVector(7 * 2 * 3, 2), randomVector(7 * 2 * 3, 3)]
      const c = randomVector(queries.length, 4)
      const run = (q: Float64Array, k: Float64Array, v: Float64Array) =>
        weigh(attention(q, { length: 7, keys: k, values: v }, shape), c)
      const gradients = attentionBackward(c, queries, { length: 7, keys, values }, shape)
      expectGradientOf((at) => run(at, keys, values), queries, gradients.queries)
      expectGradientOf((at) => run(queries, at, values), keys, gradients.keys)
      expectGradientOf((at) => run(queries, keys, at), values, gradients.values)
    }
  })
})

describe('reverse mode of a block', () => {
  /** Three tokens after two others, in a block with scales. */
  function createCase(config: ModelConfig, seed: number) {
    const past = createKeyValueCache()
    const weights = randomBlock(config, seed)
    blockForward(randomVector(2 * config.hiddenSize, seed + 20), weights, past, config)
    return {
      past: past as KeyValueCache,
      patched: { weights, scales: randomScales(config, seed + 21) },
      x: randomVector(3 * config.hiddenSize, seed + 30),
      c: randomVector(3 * config.hiddenSize, seed + 31),
    }
  }
  type Case = ReturnType<typeof createCase>

  const run = ({ x, patched, past, c }: Case, config: ModelConfig) =>
    weigh(traceBlock(x, patched, past, config).output, c)

  function backward({ x, patched, past, c }: Case, config: ModelConfig): BlockGradients {
    return blockBackward(c, traceBlock(x, patched, past, config), patched, config)
  }

  it('has every gradient, in every architecture', () => {
    fc.assert(
      fc.property(anyConfig, fc.integer({ min: 1, max: 1000 }), (config, seed) => {
        const point = createCase(config, seed)
        const { patched } = point
        const gradients = backward(point, config)
        expectGradientOf((x) => run({ ...point, x }, config), point.x, gradients.input)
        for (const [role, weight] of Object.entries(patched.weights) as [MatrixRole | VectorRole, Floats][]) {
          const moved = (at: Floats) => ({ ...patched, weights: { ...patched.weights, [role]: at } })
          const gradient = tensorGradient(gradients, role) ?? new Float64Array()
          expectGradientOf((at) => run({ ...point, patched: moved(at) }, config), weight, gradient)
        }
        for (const target of ['key', 'value', 'feedForward'] as const) {
          const moved = (at: Floats) => ({ ...patched, scales: { ...patched.scales, [target]: at } })
          const scale = patched.scales[target] ?? new Float64Array()
          expectGradientOf((at) => run({ ...point, patched: moved(at) }, config), scale, gradients.scales[target])
        }
      }),
      { numRuns: 30 },
    )
  })

  it('computes entries of a matrix as they stand in the whole', () => {
    const config = tinyConfig({ hiddenSize: 8, intermediateSize: 6, headSize: 4 })
    const gradients = backward(createCase(config, 5), config)
    for (const role of ['query', 'key', 'value', 'output', 'gate', 'up', 'down'] as const) {
      const whole = tensorGradient(gradients, role) ?? new Float64Array()
      const indices = Uint32Array.of(0, 3, 17, whole.length - 1)
      const entries = entriesGradient(gradients, role, indices)
      expect(
        relativeError(
          entries,
          Float64Array.from(indices, (index) => whole[index] as number),
        ),
      ).toBeLessThan(1e-14)
    }
  })

  it('traces what the forward pass computes, and leaves the past as it is', () => {
    fc.assert(
      fc.property(anyConfig, fc.integer({ min: 1, max: 1000 }), (config, seed) => {
        const { x, past, patched } = createCase(config, seed)
        const trace = traceBlock(x, { weights: patched.weights, scales: {} }, past, config)
        expect(past.length).toBe(2)
        expect(relativeError(trace.output, blockForward(x, patched.weights, past, config))).toBeLessThan(1e-12)
        const width = past.length * config.kvHeadCount * config.headSize
        expect(relativeError(trace.attention.cache.keys.subarray(0, width), past.keys.subarray(0, width))).toBeLessThan(
          1e-12,
        )
      }),
      { numRuns: 30 },
    )
  })
})

describe('the gradient of a loss', () => {
  function randomModelWeights(config: ModelConfig, seed: number): ModelWeights {
    const table = config.vocabularySize * config.hiddenSize
    const embedding = randomVector(table, seed)
    return {
      embedding,
      blocks: Array.from({ length: config.blockCount }, (_, i) => randomBlock(config, seed + 40 * i)),
      finalNorm: randomVector(config.hiddenSize, seed + 1),
      head: config.tiedHead ? embedding : randomVector(table, seed + 2),
    }
  }
  const tokens = [1, 4, 1, 0, 5]

  it('is that of the negative log-likelihood, for embedding, norm, head and blocks', () => {
    fc.assert(
      fc.property(anyConfig, fc.integer({ min: 1, max: 1000 }), (config, seed) => {
        const weights = randomModelWeights(config, seed)
        const loss = (at: ModelWeights) =>
          negativeLogLikelihood(modelForward(tokens.slice(0, -1), at, config).logits, tokens.slice(1))
        const { lossSum, gradients } = lossGradients(tokens, weights, config)
        expect(lossSum).toBeCloseTo(loss(weights), 10)
        const tied = (embedding: Floats) => (config.tiedHead ? { embedding, head: embedding } : { embedding })
        expectGradientOf((at) => loss({ ...weights, ...tied(at) }), weights.embedding, gradients.embedding)
        expectGradientOf((finalNorm) => loss({ ...weights, finalNorm }), weights.finalNorm, gradients.finalNorm)
        if (gradients.head) expectGradientOf((head) => loss({ ...weights, head }), weights.head, gradients.head)
        expect(gradients.head === null).toBe(config.tiedHead)
        const [first, ...rest] = weights.blocks as [BlockWeights, ...BlockWeights[]]
        const key = tensorGradient(gradients.blocks[0] as BlockGradients, 'key') ?? new Float64Array()
        expectGradientOf((at) => loss({ ...weights, blocks: [{ ...first, key: at }, ...rest] }), first.key, key)
      }),
      { numRuns: 20 },
    )
  })

  it('weighs targets, and goes through scales', () => {
    const config = tinyConfig({ hiddenSize: 8, intermediateSize: 6, headSize: 4, blockCount: 2, vocabularySize: 6 })
    const weights = randomModelWeights(config, 3)
    const scales = [randomScales(config, 7), randomScales(config, 8)]
    const targetWeights = Float64Array.of(0, 2, 0.5, 1)
    const loss = (key: Floats) => {
      const moved = [{ ...scales[0], key }, scales[1] ?? {}]
      return lossGradients(tokens, weights, config, { targetWeights, scales: moved }).lossSum
    }
    const { gradients } = lossGradients(tokens, weights, config, { targetWeights, scales })
    expectGradientOf(loss, scales[0]?.key ?? new Float64Array(), (gradients.blocks[0] as BlockGradients).scales.key)
    const losses = tokens.slice(1).map((_, t) => {
      const only = Float64Array.from(tokens.slice(1), (_target, i) => Number(i === t))
      return lossGradients(tokens, weights, config, { targetWeights: only, scales }).lossSum
    })
    const weighed = losses.reduce((sum, each, t) => sum + each * (targetWeights[t] as number), 0)
    expect(lossGradients(tokens, weights, config, { targetWeights, scales }).lossSum).toBeCloseTo(weighed, 10)
  })
})
