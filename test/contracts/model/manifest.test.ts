import { describe, expect, it } from 'vitest'
import { dtypeBlocks, dtypes, modelConfigSchema, storedBytes, tensorNames } from '#contracts/model/manifest.ts'
import { blockShapes } from '#core/numerics/block.ts'
import { tinyConfig, tinyRelatives } from '#test/fakes/model-handle.ts'

const llama3 = {
  kind: 'llama3',
  factor: 8,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 4,
  originalContextLength: 8192,
} as const

describe('the shape of a model', () => {
  it.each(Object.entries(tinyRelatives))('may be that of “%s”', (_kind, changes) => {
    const config = tinyConfig(changes)
    expect(modelConfigSchema.parse(config)).toEqual(config)
  })

  it.each<[string, object]>([
    ['an architecture we do not know', { architecture: 'gemma' }],
    ['a sliding window of nothing', { slidingWindow: 0 }],
    ['a sliding window of half a position', { slidingWindow: 1.5 }],
    ['no biases said as false', { attentionBias: false }],
    ['no norms said as null', { queryKeyNorm: null }],
    ['a scaling of an unknown kind', { ropeScaling: { kind: 'yarn', factor: 2 } }],
    ['a scaling that shrinks', { ropeScaling: { kind: 'linear', factor: 0.5 } }],
    ['a scaling without end', { ropeScaling: { kind: 'linear', factor: Number.POSITIVE_INFINITY } }],
    ['a scaling with a field too many', { ropeScaling: { kind: 'linear', factor: 2, lowFrequencyFactor: 1 } }],
    ['a scaling with a field too few', { ropeScaling: { ...llama3, lowFrequencyFactor: undefined } }],
    ['a scaling whose bounds are one', { ropeScaling: { ...llama3, lowFrequencyFactor: 4 } }],
    ['heads that do not share keys evenly', { headCount: 4, kvHeadCount: 3 }],
    ['an odd head size', { headSize: 15 }],
    ['a field we do not know', { headBias: true }],
  ])('is not one with %s', (_what, changes) => {
    expect(modelConfigSchema.safeParse({ ...tinyConfig(), ...changes }).success).toBe(false)
  })
})

describe('stored types', () => {
  it('take whole bytes for whole blocks, at most four a number', () => {
    for (const dtype of dtypes) {
      const { elements, bytes } = dtypeBlocks[dtype]
      expect(storedBytes(dtype, 3 * elements)).toBe(3 * bytes)
      expect(bytes / elements).toBeLessThanOrEqual(4)
    }
  })
})

describe('the names of a block’s tensors', () => {
  it('are one for each tensor that any architecture has', () => {
    const shapes = blockShapes(tinyConfig({ attentionBias: true, queryKeyNorm: true }))
    expect(Object.keys(tensorNames.block(0)).sort()).toEqual(Object.keys(shapes).sort())
    expect(new Set(Object.values(tensorNames.block(0))).size).toBe(14)
  })
})
