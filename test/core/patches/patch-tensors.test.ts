import { describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { patchTensors } from '#core/patches/patch-tensors.ts'
import { tinyConfig } from '#test/fakes/model-handle.ts'
import { content, delta, factors, scale } from './parts.ts'

const names = tensorNames.block(0)
const config = tinyConfig({ attentionBias: true })

function applied(tensor: string, shape: readonly number[], values: number[], ...patches: Partial<PatchContent>[]) {
  const weights = Float32Array.from(values)
  patchTensors(patches.map(content), config).apply(tensor, shape, weights)
  return [...weights]
}

describe('a patched tensor', () => {
  it('has deltas added at their places', () => {
    expect(applied('t', [2, 2], [1, 2, 3, 4], { deltas: [delta('t', [2, 2], [1, 2], [10, 20])] })).toEqual([
      1, 12, 23, 4,
    ])
  })

  it('has the product of factors added', () => {
    const low = factors('t', [2, 2], 1, { left: [1, 2], right: [3, 4] })
    expect(applied('t', [2, 2], [0, 0, 0, 1], { factors: [low] })).toEqual([3, 4, 6, 9])
  })

  it('has what a projection gives scaled by row, its bias too', () => {
    const patch = { scales: [scale(0, 'key', [2, 3])] }
    expect(applied(names.key, [2, 2], [1, 1, 1, 1], patch)).toEqual([2, 2, 3, 3])
    expect(applied(names.keyBias, [2], [5, 5], patch)).toEqual([10, 15])
    expect(applied(names.value, [2, 2], [1, 1, 1, 1], patch)).toEqual([1, 1, 1, 1])
  })

  it('has what the down projection takes scaled by column', () => {
    const patch = { scales: [scale(0, 'feedForward', [2, 3])] }
    expect(applied(names.down, [2, 2], [1, 1, 1, 1], patch)).toEqual([2, 3, 2, 3])
  })

  it('has all deltas added before scales are multiplied, in whatever order the patches come', () => {
    const adds = { deltas: [delta(names.value, [1, 1], [0], [4])] }
    const scales = { scales: [scale(0, 'value', [3])] }
    expect(applied(names.value, [1, 1], [1], adds, scales)).toEqual([15])
    expect(applied(names.value, [1, 1], [1], scales, adds)).toEqual([15])
  })

  it('is rounded once: what two patches add and take away again leaves no trace', () => {
    const plus = { deltas: [delta('t', [1], [0], [1e4])] }
    const minus = { deltas: [delta('t', [1], [0], [-1e4])] }
    expect(applied('t', [1], [0.1], plus, minus)).toEqual([Math.fround(0.1)])
  })

  it('is known beforehand', () => {
    const patched = patchTensors([content({ scales: [scale(1, 'key', [1])] })], config)
    expect(patched.changes(tensorNames.block(1).keyBias)).toBe(true)
    expect(patched.changes(tensorNames.block(0).key)).toBe(false)
  })
})
