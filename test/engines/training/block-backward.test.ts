import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { type BlockTensorRole, type ModelConfig, modelConfigSchema } from '#contracts/model/manifest.ts'
import { type ByBlockTensor, blockShapes } from '#core/numerics/block.ts'
import { blockBackward, tensorGradient } from '#core/numerics/block-backward.ts'
import { type BlockTrace, traceBlock } from '#core/numerics/block-backward-trace.ts'
import { createKeyValueCache, type KeyValueCache } from '#core/numerics/key-value-cache.ts'
import { type ScaleTarget, scaleTargets } from '#core/ports/engine.ts'
import { type BlockBackward, createBlockBackward, type PastKeyValues } from '#engines/training/block-backward.ts'
import type { BlockParameter } from '#engines/training/block-parameters.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'
import { createRandom, tinyConfig } from '#test/fakes/model-handle.ts'

const tolerance = 2e-5

describe('one block on borrowed weights', () => {
  const made: BlockBackward[] = []
  afterEach(async () => {
    await Promise.all(made.splice(0).map((block) => block.dispose()))
  })
  function create(config: ModelConfig): BlockBackward {
    const block = createBlockBackward(config, { threads: 1 })
    made.push(block)
    return block
  }

  it('goes forward and backward as core/numerics, after a past and with scales, whatever the architecture', async () => {
    await fc.assert(
      fc.asyncProperty(
        configs,
        fc.integer({ min: 0, max: 6 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer(),
        async (...drawn) => {
          const [config, pastLength, tokens, seed] = drawn
          const { weights, scales, past, x, dy } = randomCase(config, { pastLength, tokens, seed })
          const block = create(config)
          const context = { scales, past: inFloat32(past) }
          const trace = traceBlock(x, { weights, scales }, past, config)
          const forward = await block.forward(weights, x, context)
          expect(relativeError(forward.y, trace.output)).toBeLessThan(tolerance)
          const expectedRows = newRows(trace, config)
          expect(relativeError(forward.newKeys, expectedRows.keys)).toBeLessThan(tolerance)
          expect(relativeError(forward.newValues, expectedRows.values)).toBeLessThan(tolerance)

          const wanted = everything(config)
          const expected = blockBackward(dy, trace, { weights, scales }, config)
          const { dx, gradients } = await block.backward(weights, x, dy, { ...context, wanted })
          expect(relativeError(dx, expected.input)).toBeLessThan(tolerance)
          for (const [i, parameter] of wanted.entries()) {
            const exact =
              parameter.kind === 'scale' ? expected.scales[parameter.target] : tensorGradient(expected, parameter.role)
            const expectedHere = parameter.kind === 'entries' ? pick(exact, parameter.indices) : (exact ?? [])
            const gap = largestGap(gradients[i] ?? [], expectedHere)
            expect(gap).toBeLessThan(tolerance * Math.max(largest(exact), 1)) // some are 0 but for rounding
          }
          await made.pop()?.dispose()
        },
      ),
      { numRuns: 12 },
    )
  })

  it('gives whole tensors and entries of the same tensor in one call, in the order asked for', async () => {
    const config = tinyConfig()
    const { weights, x, dy } = randomCase(config, { pastLength: 0, tokens: 5, seed: 1 })
    const indices = Uint32Array.of(0, 9, 1000)
    const wanted: BlockParameter[] = [
      { kind: 'entries', role: 'up', indices },
      { kind: 'scale', target: 'value' },
      { kind: 'tensor', role: 'up' },
      { kind: 'entries', role: 'attentionNorm', indices: Uint32Array.of(3) },
      { kind: 'tensor', role: 'attentionNorm' },
    ]
    const { gradients } = await create(config).backward(weights, x, dy, { wanted })
    expect(gradients.map(({ length }) => length)).toEqual([3, 32, 48 * 32, 1, 32])
    expect(Array.from(gradients[0] ?? [])).toEqual(Array.from(indices, (index) => gradients[2]?.[index]))
    expect(gradients[3]?.[0]).toBe(gradients[4]?.[3])
  })
})

const configs = fc
  .record({
    headSize: fc.constantFrom(4, 6, 16),
    kvHeadCount: fc.constantFrom(1, 2, 3),
    group: fc.constantFrom(1, 2, 3),
    ropeStyle: fc.constantFrom('half' as const, 'interleaved' as const),
    attentionBias: fc.boolean(),
    queryKeyNorm: fc.boolean(),
    slidingWindow: fc.constantFrom(undefined, 1, 3, 100),
  })
  .map(({ group, attentionBias, queryKeyNorm, slidingWindow, ...rest }) =>
    modelConfigSchema.parse({
      ...tinyConfig({ hiddenSize: 24, intermediateSize: 20, headCount: rest.kvHeadCount * group }),
      ...rest,
      ...(attentionBias && { attentionBias: true }),
      ...(queryKeyNorm && { queryKeyNorm: true }),
      ...(slidingWindow && { slidingWindow }),
    }),
  )

/** Random weights, scales, a past made of random hidden states, an input and a gradient of the output. */
function randomCase(
  config: ModelConfig,
  { pastLength, tokens, seed }: { pastLength: number; tokens: number; seed: number },
) {
  const random = createRandom(seed)
  const some = (length: number, mean = 0, size = 1) => Float32Array.from({ length }, () => mean + size * random())
  const tensors = Object.entries(blockShapes(config)).map(([role, [rows = 1, columns]]) => [
    role,
    columns === undefined ? some(rows, 1, 0.3) : some(rows * columns, 0, 1.7 / Math.sqrt(columns)),
  ])
  const weights = Object.fromEntries(tensors) as ByBlockTensor<Float32Array>
  const width = { key: config.kvHeadCount * config.headSize, value: config.kvHeadCount * config.headSize }
  const lengths: Record<ScaleTarget, number> = { ...width, feedForward: config.intermediateSize }
  const scales = Object.fromEntries(scaleTargets.map((target) => [target, some(lengths[target], 1, 0.5)])) as Record<
    ScaleTarget,
    Float32Array
  >
  const before = some(pastLength * config.hiddenSize)
  const past =
    pastLength === 0
      ? createKeyValueCache()
      : traceBlock(before, { weights, scales }, createKeyValueCache(), config).attention.cache
  const [x, dy] = [some(tokens * config.hiddenSize), some(tokens * config.hiddenSize)]
  return { weights, scales, past, x, dy }
}

/** Keys and values of the new positions. */
function newRows({ attention: { cache }, tokens }: BlockTrace, config: ModelConfig) {
  const width = config.kvHeadCount * config.headSize
  const [start, end] = [(cache.length - tokens) * width, cache.length * width]
  return { keys: cache.keys.subarray(start, end), values: cache.values.subarray(start, end) }
}

function inFloat32({ length, keys, values }: KeyValueCache): PastKeyValues {
  return { length, keys: Float32Array.from(keys), values: Float32Array.from(values) }
}

function everything(config: ModelConfig): BlockParameter[] {
  const roles = Object.entries(blockShapes(config)) as [BlockTensorRole, readonly number[]][]
  return [
    ...roles.map(([role, shape], i): BlockParameter => {
      const size = shape.reduce((product, dimension) => product * dimension, 1)
      const indices = Uint32Array.from({ length: Math.ceil(size / 7) }, (_, k) => 7 * k)
      return i % 2 === 0 ? { kind: 'tensor', role } : { kind: 'entries', role, indices }
    }),
    ...scaleTargets.map((target) => ({ kind: 'scale', target }) as const),
  ]
}

function pick(values: ArrayLike<number> | undefined, indices: Uint32Array): number[] {
  return Array.from(indices, (index) => values?.[index] ?? Number.NaN)
}

function largest(values: Float64Array | undefined): number {
  return values?.reduce((most, value) => Math.max(most, Math.abs(value)), 0) ?? 0
}

function largestGap(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  return Array.from(b).reduce((most, value, i) => Math.max(most, Math.abs((a[i] as number) - value)), 0)
}
