import { describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import { PatchMismatchError } from '#core/errors.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { createPatchRegistry } from '#engines/shared/patch-registry.ts'
import { blockPatchBytes, endsPatchBytes, splitPatch } from '#engines/shared/patch-split.ts'
import { locateTensor } from '#engines/shared/patch-target.ts'
import { randomEndsPatch, randomPatch } from '#test/compliance/engine/inputs.ts'
import { tinyConfig, tinyRelatives } from '#test/fakes/model-handle.ts'

describe('a tensor’s name', () => {
  it('leads to every tensor a model has, with its shape', () => {
    for (const changes of Object.values(tinyRelatives)) {
      const config = tinyConfig({ ...changes, blockCount: 12 })
      for (const { name, shape } of expectedTensors(config)) expect(locateTensor(config, name).shape).toEqual(shape)
      const located = locateTensor(config, tensorNames.block(11).down)
      expect(located).toMatchObject({ kind: 'block', block: 11, role: 'down' })
    }
  })

  it('leads nowhere when it is written in another way', () => {
    const { query } = tensorNames.block(1)
    const others = [
      '',
      query.toUpperCase(),
      ` ${query}`,
      query.replace('1', '01'),
      query.replace('1', '1e0'),
      `${query}.`,
    ]
    for (const name of [...others, 'model.layers.1.', 'model.layers.1.constructor', '__proto__']) {
      expect(() => locateTensor(tinyConfig(), name)).toThrow(PatchMismatchError)
    }
  })
})

describe('a patch taken apart', () => {
  const config = tinyConfig({ attentionBias: true })

  it('has each change in its block or at the ends, once', () => {
    const [blocks, ends] = [randomPatch(config, 1), randomEndsPatch(config, 2)]
    const split = splitPatch({ deltas: [...ends.deltas, ...blocks.deltas], scales: blocks.scales }, config)
    expect([...split.blocks.keys()].sort()).toEqual([0, 1, 2])
    expect(Object.keys(split.blocks.get(1)?.deltas ?? {}).length).toBe(12)
    expect(Object.keys(split.blocks.get(1)?.scales ?? {})).toEqual(['key', 'value', 'feedForward'])
    expect(Object.keys(split.ends)).toEqual(['embedding', 'finalNorm', 'head'])
  })

  it('tells the bytes that lie in a span, and those at the ends', () => {
    const changed = { tensor: tensorNames.block(1).up, indices: Uint32Array.of(1, 2), values: Float32Array.of(3, 4) }
    const scale = { block: 2, target: 'key', values: new Float32Array(32) } as const
    const inEnds = { ...changed, tensor: tensorNames.embedding }
    const tied = { ...config, tiedHead: true }
    const split = splitPatch({ deltas: [changed, inEnds], scales: [scale] }, tied)
    expect(blockPatchBytes(split, { start: 0, end: 1 })).toBe(0)
    expect(blockPatchBytes(split, { start: 0, end: 2 })).toBe(16)
    expect(blockPatchBytes(split, { start: 0, end: 3 })).toBe(16 + 128)
    expect(split.ends.head).toBe(split.ends.embedding)
    expect(endsPatchBytes(split.ends)).toBe(16)
  })
})

describe('a registry of patches', () => {
  it('gives what was kept for a patch until that is disposed, in the order asked for', () => {
    const registry = createPatchRegistry<string>()
    const [a, b] = [registry.add('a', 1), registry.add('b', 2)]
    expect([a.weightBytes, b.weightBytes]).toEqual([1, 2])
    expect(registry.resolve([b, a, b])).toEqual(['b', 'a', 'b'])
    expect(registry.resolve(undefined)).toEqual([])
    a.dispose()
    expect(() => registry.resolve([b, a])).toThrow('disposed')
    expect(() => createPatchRegistry<string>().resolve([b])).toThrow('another runner')
  })
})
