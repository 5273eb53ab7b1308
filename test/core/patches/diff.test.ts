import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { patchDiffSchema } from '#contracts/api/patches.ts'
import { digestSchema } from '#contracts/digest.ts'
import type { PatchContent, PatchFactors } from '#contracts/patch-file/patch.ts'
import { diffPatches } from '#core/patches/diff.ts'
import { tensorChanges } from '#core/patches/tensor-changes.ts'
import { content, delta, factors, scale } from './parts.ts'

const digest = (letter: string) => digestSchema.parse(letter.repeat(64))

function diff(left: Partial<PatchContent>, right: Partial<PatchContent>, rightBase = 'e') {
  return diffPatches(
    { digest: digest('a'), baseDigest: digest('e'), content: content(left) },
    { digest: digest('b'), baseDigest: digest(rightBase), content: content(right) },
  )
}

/** L R, formed. */
function product({ shape: [out, into], rank, left, right }: PatchFactors): number[] {
  return Array.from({ length: out * into }, (_, place) => {
    const [o, i] = [Math.floor(place / into), place % into]
    return Array.from({ length: rank }, (_, r) => (left[o * rank + r] ?? 0) * (right[r * into + i] ?? 0)).reduce(
      (a, b) => a + b,
    )
  })
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0)

describe('the difference of two patches', () => {
  it('counts shared entries over those of the smaller mask, and conflicts of sign', () => {
    const left = [delta('t', [10], [1, 3, 5, 9], [1, 1, 1, 1])]
    const right = [delta('t', [10], [3, 5, 6], [1, -1, 1])]
    const result = diff({ deltas: left }, { deltas: right })
    expect(patchDiffSchema.parse(result)).toEqual(result)
    expect(result).toMatchObject({ sameBase: true, overlap: 2 / 3, cosine: 0, signConflicts: 1 })
    expect(result.tensors).toEqual([
      {
        tensor: 't',
        leftEntries: 4,
        rightEntries: 3,
        sharedEntries: 2,
        overlap: 2 / 3,
        cosine: 0,
        leftNorm: 2,
        rightNorm: Math.sqrt(3),
      },
    ])
  })

  it('of a patch with itself is none: overlap 1, cosine 1', () => {
    const parts = {
      deltas: [delta('t', [10], [1, 3], [0.5, -2])],
      scales: [scale(0, 'key', [1, 1.5])],
      factors: [factors('w', [3, 2], 2)],
    }
    const { overlap, cosine, signConflicts } = diff(parts, parts)
    expect([overlap, signConflicts]).toEqual([1, 0])
    expect(cosine).toBeCloseTo(1, 12)
  })

  it('has tensors that only one of the two changes, in the order of names', () => {
    const result = diff({ deltas: [delta('b', [2], [0], [1])] }, { deltas: [delta('a', [2], [1], [3])] }, 'f')
    expect(result.sameBase).toBe(false)
    expect(result.tensors.map(({ tensor, leftEntries, rightEntries }) => [tensor, leftEntries, rightEntries])).toEqual([
      ['a', 0, 1],
      ['b', 1, 0],
    ])
    expect(result).toMatchObject({ overlap: 0, cosine: 0 })
  })

  it('takes a scale for a change away from one', () => {
    const [row] = diff({ scales: [scale(1, 'value', [1, 2])] }, { scales: [scale(1, 'value', [2, 1])] }).tensors
    expect(row).toMatchObject({ tensor: 'model.layers.1.scale.value', leftNorm: 1, rightNorm: 1, cosine: 0 })
  })

  it('takes factors for the whole matrix that they make, without making it', () => {
    const number = fc.integer({ min: -8, max: 8 })
    const pair = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.infiniteStream(number)).map(([rank, stream]) => {
      const take = (count: number) => Array.from({ length: count }, () => Number(stream.next().value))
      return factors('w', [4, 3], rank, { left: take(4 * rank), right: take(3 * rank) })
    })
    fc.assert(
      fc.property(pair, pair, (one, other) => {
        const [a, b] = [product(one), product(other)]
        const [row] = diff({ factors: [one] }, { factors: [other] }).tensors
        const lengths = Math.sqrt(dot(a, a)) * Math.sqrt(dot(b, b))
        expect(row?.cosine).toBeCloseTo(lengths === 0 ? 0 : dot(a, b) / lengths, 9)
        expect(row?.leftNorm).toBeCloseTo(Math.sqrt(dot(a, a)), 9)
      }),
    )
  })

  it('sets a delta against factors of the same tensor', () => {
    const low = factors('w', [2, 2], 1, { left: [1, 2], right: [3, 4] }) // [[3, 4], [6, 8]]
    const [row] = diff({ deltas: [delta('w', [2, 2], [1, 2], [1, -1])] }, { factors: [low] }).tensors
    expect(row).toMatchObject({ leftEntries: 2, rightEntries: 4, sharedEntries: 2 })
    expect(row?.cosine).toBeCloseTo((4 - 6) / (Math.sqrt(2) * Math.sqrt(125)), 12)
  })
})

describe('the changes of a patch, tensor by tensor,', () => {
  it('are told by number, length and largest', () => {
    const low = factors('w', [2, 2], 1, { left: [1, 2], right: [3, 4] })
    const parts = content({
      deltas: [delta('t', [2, 5], [1, 9], [3, -4])],
      scales: [scale(0, 'key', [1, 0.5])],
      factors: [low],
    })
    expect(tensorChanges(parts)).toEqual([
      { tensor: 't', kind: 'delta', entries: 2, size: 10, norm: 5, largest: 4 },
      { tensor: 'model.layers.0.scale.key', kind: 'scale', entries: 2, size: 2, norm: 0.5, largest: 0.5 },
      { tensor: 'w', kind: 'factors', entries: 4, size: 4, norm: Math.sqrt(125), largest: 8 },
    ])
  })
})
