import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { selectLargest } from '#core/training/top-k.ts'

const scores = fc.array(
  fc.array(fc.oneof(fc.constantFrom(0, 1, 0.5, 1e-30), fc.float({ min: 0, noNaN: true, noDefaultInfinity: true })), {
    maxLength: 30,
  }),
  { minLength: 1, maxLength: 5 },
)

/** What the fast one is to be: everything sorted, equal ones in order. */
function sorted(groups: readonly (readonly number[])[], count: number): number[][] {
  const all = groups.flatMap((group, g) => group.map((value, i) => ({ g, i, value: Math.fround(value) + 0 })))
  const chosen = all
    .map((each, place) => ({ ...each, place }))
    .sort((a, b) => b.value - a.value || a.place - b.place)
    .slice(0, count)
  return groups.map((_, g) =>
    chosen
      .filter((each) => each.g === g)
      .map(({ i }) => i)
      .sort((a, b) => a - b),
  )
}

describe('the largest numbers', () => {
  it('are those of a full sort, the first of equal ones', () => {
    fc.assert(
      fc.property(scores, fc.nat(), (groups, wish) => {
        const positive = groups.map((group) => group.map((value) => (Object.is(value, -0) ? 0 : value)))
        const total = positive.flat().length
        const count = total === 0 ? 0 : wish % (total + 1)
        const arrays = positive.map((group) => Float32Array.from(group))
        expect(selectLargest(arrays, count).map((each) => [...each])).toEqual(sorted(positive, count))
      }),
      { numRuns: 300 },
    )
  })

  it('of a view into a larger array are counted from the view', () => {
    const view = Float32Array.of(9, 9, 1, 3, 2).subarray(2)
    expect(selectLargest([view], 2)).toEqual([Uint32Array.of(1, 2)])
  })

  it('are not looked for among numbers that cannot be compared', () => {
    for (const wrong of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => selectLargest([Float32Array.of(1, wrong)], 1)).toThrow(RangeError)
    }
    expect(() => selectLargest([Float32Array.of(1)], 2)).toThrow('2 wanted of 1')
  })

  it('of ten million are found in well under a second', () => {
    const many = new Float32Array(10_000_000)
    for (let i = 0; i < many.length; i++) many[i] = (i * 7919) % 10_007
    const startMs = performance.now()
    const [chosen] = selectLargest([many], 50_000)
    expect(performance.now() - startMs).toBeLessThan(2_000)
    expect(chosen?.length).toBe(50_000)
  })
})
