import { describe, expect, it } from 'vitest'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { PatchMismatchError } from '#core/errors.ts'
import { fitToModel } from '#core/patches/fit-to-model.ts'
import { patchWeightsOf } from '#core/patches/patch-weights.ts'
import { tinyConfig } from '#test/fakes/model-handle.ts'
import { delta, factors, scale } from './parts.ts'

const config: ModelConfig = tinyConfig()
const names = tensorNames.block(1)

function fitting(changes: Partial<PatchContent> = {}): PatchContent {
  return {
    deltas: [delta(tensorNames.embedding, [40, 32], [3], [1]), delta(names.attentionNorm, [32], [0], [1])],
    scales: [scale(0, 'key', new Array(32).fill(1)), scale(2, 'feedForward', new Array(48).fill(1))],
    factors: [factors(names.query, [64, 32], 1)],
    ...changes,
  }
}

describe('a patch that fits its model', () => {
  it('passes', () => {
    expect(() => fitToModel(fitting(), config)).not.toThrow()
  })

  it('is to compute the same arrays', () => {
    const content = fitting()
    const weights = patchWeightsOf(content)
    expect(weights.deltas[0]?.values).toBe(content.deltas[0]?.values)
    expect(weights.factors?.[0]).toEqual({ ...content.factors[0], shape: undefined })
  })
})

describe('a patch is refused, by the name of what does not fit, for', () => {
  it.each<[string, Partial<PatchContent>, string]>([
    ['a tensor that the model does not have', { deltas: [delta('model.other', [2], [0], [1])] }, 'model.other'],
    [
      'a block that the model does not have',
      { deltas: [delta(tensorNames.block(3).key, [32, 32], [0], [1])] },
      'layers.3',
    ],
    ['another shape of as many numbers', { deltas: [delta(names.query, [32, 64], [0], [1])] }, 'shape \\[32,64\\]'],
    ['a scale of a block too many', { scales: [scale(3, 'value', new Array(32).fill(1))] }, 'block 3 value'],
    ['a scale of another length', { scales: [scale(0, 'feedForward', [1])] }, '1 scales'],
    ['factors of the embedding', { factors: [factors(tensorNames.embedding, [40, 32], 1)] }, 'blocks only'],
    ['factors of another shape', { factors: [factors(names.down, [48, 32], 1)] }, 'shape'],
  ])('%s', (_, changes, message) => {
    expect(() => fitToModel(fitting(changes), config)).toThrow(PatchMismatchError)
    expect(() => fitToModel(fitting(changes), config)).toThrow(new RegExp(message))
  })
})
