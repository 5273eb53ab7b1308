import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createHiddenHistory } from '#core/hosting/hidden-history.ts'

const hiddenSize = 3

function rows(first: number, count: number): Float32Array {
  return Float32Array.from({ length: count * hiddenSize }, (_, i) => first * hiddenSize + i)
}

test('a history gives back from any position on what it was given, however it was cut', () => {
  const counts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 })
  fc.assert(
    fc.property(counts, fc.nat(), (appended, pick) => {
      const history = createHiddenHistory(hiddenSize, 4)
      for (const count of appended) history.append(rows(history.length, count))
      expect(history.length).toBe(appended.reduce((a, b) => a + b, 0))
      const start = pick % history.length
      const values: number[] = []
      while (start + values.length / hiddenSize < history.length) {
        values.push(...history.from(start + values.length / hiddenSize))
      }
      expect(values).toEqual([...rows(start, history.length - start)])
    }),
  )
})

test('one append comes back in one piece, so that a step is never cut in two', () => {
  const history = createHiddenHistory(hiddenSize, 4)
  history.append(rows(0, 3))
  history.append(rows(3, 7))
  expect(history.from(3)).toEqual(rows(3, 7))
})

test('what was handed out does not move or change when more is appended', () => {
  const history = createHiddenHistory(hiddenSize, 4)
  history.append(rows(0, 1))
  const view = history.from(0)
  for (let i = 1; i < 50; i++) history.append(rows(i, 1))
  expect(view).toEqual(rows(0, 1))
  expect(history.from(0).buffer).toBe(view.buffer)
})

test('a history keeps its own copy', () => {
  const history = createHiddenHistory(hiddenSize)
  const given = rows(0, 1)
  history.append(given)
  given.fill(-1)
  expect(history.from(0)).toEqual(rows(0, 1))
})

test('there is nothing from the end on', () => {
  const history = createHiddenHistory(hiddenSize)
  expect(() => history.from(0)).toThrow(RangeError)
})
