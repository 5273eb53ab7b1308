import { describe, expect, it } from 'vitest'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import {
  blockWeightBytes,
  cacheBytesPerPosition,
  endsWeightBytes,
  modelWeightBytes,
  storedBytes,
} from '#core/models/block-size.ts'
import { elementCount, expectedTensors } from '#core/models/expected-tensors.ts'

const seedling: ModelConfig = {
  architecture: 'llama',
  hiddenSize: 128,
  intermediateSize: 352,
  blockCount: 8,
  headCount: 4,
  kvHeadCount: 2,
  headSize: 32,
  vocabularySize: 2048,
  contextLength: 256,
  rmsNormEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeStyle: 'half',
  tiedHead: true,
}

describe('sizes of a model', () => {
  const attention = 2 * 128 * 128 + 2 * 64 * 128
  const feedForward = 3 * 352 * 128
  const embedding = 2048 * 128

  it('count the nine tensors of a block as float32', () => {
    expect(blockWeightBytes(seedling, 'float32')).toBe(4 * (attention + feedForward + 2 * 128))
  })

  it('count what a relative adds to a block', () => {
    const extra = (config: Partial<ModelConfig>) =>
      blockWeightBytes({ ...seedling, ...config }, 'float32') - blockWeightBytes(seedling, 'float32')
    expect(extra({ attentionBias: true })).toBe(4 * (128 + 64 + 64))
    expect(extra({ queryKeyNorm: true })).toBe(4 * 2 * 32)
    expect(extra({ slidingWindow: 64, ropeScaling: { kind: 'linear', factor: 2 } })).toBe(0)
  })

  it('count matrices by their format, with the scales and sums of their groups, and vectors as float32', () => {
    const matrices = attention + feedForward
    expect(blockWeightBytes(seedling, 'float16')).toBe(2 * matrices + 4 * 2 * 128)
    expect(blockWeightBytes(seedling, 'int8')).toBe(matrices + (8 * matrices) / 128 + 4 * 2 * 128)
    expect(blockWeightBytes(seedling, 'int4')).toBe(matrices / 2 + (8 * matrices) / 32 + 4 * 2 * 128)
  })

  it('count a head beside the embedding, tied or not, and never in less than eight bits', () => {
    expect(endsWeightBytes(seedling, 'float32')).toBe(4 * (2 * embedding + 128))
    expect(endsWeightBytes({ ...seedling, tiedHead: false }, 'float32')).toBe(4 * (2 * embedding + 128))
    expect(endsWeightBytes(seedling, 'int4')).toBe(endsWeightBytes(seedling, 'int8'))
  })

  it('count keys and values of one position in one block', () => {
    expect(cacheBytesPerPosition(seedling)).toBe(2 * 2 * 32 * 4)
  })

  it('add up to the whole model', () => {
    const untied = { ...seedling, tiedHead: false }
    const elements = expectedTensors(untied).reduce((sum, { shape }) => sum + elementCount(shape), 0)
    expect(modelWeightBytes(untied, 'float32')).toBe(4 * elements)
  })

  it('count stored bytes by each tensor’s own type', () => {
    const sha256 = '0'.repeat(64) as never
    const tensors = [
      { name: 'a', dtype: 'F32' as const, shape: [3, 5], sha256 },
      { name: 'b', dtype: 'BF16' as const, shape: [7], sha256 },
      { name: 'c', dtype: 'Q4_K' as const, shape: [3, 512], sha256 },
    ]
    expect(storedBytes({ tensors })).toBe(4 * 15 + 2 * 7 + 3 * 2 * 144)
  })
})

describe('the tensors a Llama consists of', () => {
  it('are the embedding, nine a block, the final norm, and the head when untied', () => {
    expect(expectedTensors(seedling)).toHaveLength(1 + 8 * 9 + 1)
    const untied = expectedTensors({ ...seedling, tiedHead: false })
    expect(untied.at(-1)).toEqual({ name: 'lm_head.weight', shape: [2048, 128] })
  })

  it('are more where a relative adds biases or norms', () => {
    const names = (config: Partial<ModelConfig>) => expectedTensors({ ...seedling, ...config }).map(({ name }) => name)
    const added = names({ attentionBias: true, queryKeyNorm: true }).filter((name) => !names({}).includes(name))
    expect(added).toHaveLength(8 * 5)
    expect(added).toContain('model.layers.7.self_attn.v_proj.bias')
    expect(added).toContain('model.layers.0.self_attn.k_norm.weight')
  })

  it('have fewer key and value rows than query rows when heads share them', () => {
    const shapes = new Map(expectedTensors(seedling).map(({ name, shape }) => [name, shape]))
    expect(shapes.get('model.layers.3.self_attn.q_proj.weight')).toEqual([128, 128])
    expect(shapes.get('model.layers.3.self_attn.k_proj.weight')).toEqual([64, 128])
    expect(shapes.get('model.layers.3.mlp.down_proj.weight')).toEqual([128, 352])
  })
})
