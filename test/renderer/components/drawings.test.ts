import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { TensorChange } from '#contracts/api/patches.ts'
import { linePath, niceTicks, spread } from '#renderer/components/chart.ts'
import { layCloth, shades } from '#renderer/components/patch-cloth.ts'

describe('ticks', () => {
  test('are round, in order, few, and hold the range', () => {
    expect(niceTicks(3.86, 4.81)).toEqual([3.5, 4, 4.5, 5])
    expect(niceTicks(0, 400, 6)).toEqual([0, 100, 200, 300, 400])
    const range = fc.tuple(
      fc.double({ min: 0, max: 1e3, noNaN: true }),
      fc.double({ min: 1e-3, max: 1e6, noNaN: true }),
    )
    fc.assert(
      fc.property(range, ([low, width]) => {
        const ticks = niceTicks(low, low + width)
        expect(ticks.length).toBeLessThan(12)
        expect(ticks[0]).toBeLessThanOrEqual(low + width * 1e-6)
        expect(ticks.at(-1)).toBeGreaterThanOrEqual(low + width * (1 - 1e-6))
        expect(ticks).toEqual(ticks.toSorted((a, b) => a - b))
      }),
    )
  })

  test('of no range are the one number', () => {
    expect(niceTicks(4, 4)).toEqual([4])
  })
})

test('a line joins its points, and labels that would touch are moved apart', () => {
  expect(
    linePath([
      { x: 1, y: 2 },
      { x: 3, y: 4.25 },
    ]),
  ).toBe('M1.0 2.0L3.0 4.3')
  expect(linePath([])).toBe('')
  expect(spread(10, 100, 30)).toEqual([10, 100])
  expect(spread(50, 60, 30)).toEqual([40, 70])
  expect(spread(60, 50, 30)).toEqual([70, 40])
})

function change(tensor: string, entries: number, size = 100): TensorChange {
  return { tensor, kind: 'delta', entries, size, norm: 1, largest: 0.1 }
}

describe('the cloth of a patch', () => {
  test('has a column a block, a row a kind of tensor, and one more column for what is in no block', () => {
    const cloth = layCloth(
      [
        change('model.embed_tokens.weight', 1),
        change('model.layers.0.mlp.up_proj.weight', 10),
        change('model.layers.2.mlp.up_proj.weight', 5),
        change('model.layers.2.self_attn.q_proj.weight', 1),
      ],
      4,
    )
    expect(cloth).toMatchObject({ columns: 5, rows: 2, blocks: 4, hasOutside: true, darkest: 0.1 })
    expect(cloth.cells.map(({ column, row, shade }) => [column, row, shade])).toEqual([
      [0, 0, shades],
      [2, 0, 4],
      [2, 1, 2],
      [4, 0, 2],
    ])
    expect(cloth.cells[0]?.name).toBe('block 0, feed-forward, up')
  })

  test('of scales has a row for each signal', () => {
    const cloth = layCloth([change('model.layers.1.scale.key', 8, 8)], null)
    expect(cloth).toMatchObject({ columns: 2, rows: 1, hasOutside: false, darkest: 1 })
    expect(cloth.cells[0]?.name).toBe('block 1, key signal')
  })

  test('of nothing is still cloth', () => {
    expect(layCloth([], null)).toMatchObject({ columns: 0, rows: 1, cells: [], darkest: 0 })
  })
})
