import { describe, expect, it } from 'vitest'
import { type Dtype, modelConfigSchema, storedBytes } from '#contracts/model/manifest.ts'
import { elementCount, expectedTensors } from '#core/models/expected-tensors.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import { randomModel, tinyConfig, tinyRelatives } from './model-handle.ts'

async function valuesOf(config = tinyConfig(), dtype?: Dtype) {
  const model = randomModel(config, 3, dtype)
  const rows = expectedTensors(config).map(async ({ name }) => {
    const tensor = await model.readTensor(name)
    return [name, decodeFloats(tensor.dtype, tensor.bytes)] as const
  })
  return new Map(await Promise.all(rows))
}

describe('a random model', () => {
  it.each(Object.entries(tinyRelatives))('of the kind “%s” has the tensors of its config', async (_kind, changes) => {
    const config = tinyConfig(changes)
    expect(modelConfigSchema.parse(config)).toEqual(config)
    const { manifest } = randomModel(config, 3)
    const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)
    const shapes = manifest.tensors.map(({ name, shape }) => ({ name, shape }))
    expect(shapes.sort(byName)).toEqual(expectedTensors(config).sort(byName))
  })

  it('has norms near 1 and biases near 0, none of them all the same', async () => {
    const values = await valuesOf(tinyConfig({ attentionBias: true, queryKeyNorm: true }))
    for (const [name, mean] of [
      ['model.layers.1.self_attn.k_proj.bias', 0],
      ['model.layers.1.self_attn.q_norm.weight', 1],
      ['model.layers.1.input_layernorm.weight', 1],
    ] as const) {
      const vector = values.get(name) ?? new Float32Array(0)
      expect(Math.max(...vector.map((value) => Math.abs(value - mean)))).toBeLessThan(0.31)
      expect(new Set(vector).size).toBe(vector.length)
    }
  })

  it.each<[Dtype, number]>([
    ['F16', 1e-3],
    ['BF16', 1e-2],
    ['Q8_0', 1e-2],
    ['Q4_0', 0.1],
  ])('stored as %s is nearly the same model', async (dtype, tolerance) => {
    const config = tinyConfig({ intermediateSize: 64 })
    const [exact, rounded] = [await valuesOf(config), await valuesOf(config, dtype)]
    for (const [name, values] of exact) {
      expect(Math.max(...values.map((value, i) => Math.abs(value - (rounded.get(name)?.[i] ?? 9))))).toBeLessThan(
        tolerance,
      )
    }
  })

  it('of a block type keeps its vectors as float32', async () => {
    const { tensors } = randomModel(tinyConfig({ intermediateSize: 64, attentionBias: true }), 3, 'Q8_0').manifest
    expect(tensors.filter(({ shape }) => shape.length === 1).every(({ dtype }) => dtype === 'F32')).toBe(true)
    const matrices = tensors.filter(({ shape }) => shape.length === 2)
    expect(matrices.every(({ dtype, shape }) => Number.isInteger(storedBytes(dtype, elementCount(shape))))).toBe(true)
    expect(matrices.every(({ dtype }) => dtype === 'Q8_0')).toBe(true)
  })
})
