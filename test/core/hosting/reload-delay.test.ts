import fc from 'fast-check'
import { expect, test } from 'vitest'
import { reloadDelayMs } from '#core/hosting/reload-delay.ts'

test('an engine that would not run is tried again after 5 s, and twice as long after each further failure', () => {
  expect([1, 2, 3, 4].map(reloadDelayMs)).toEqual([5_000, 10_000, 20_000, 40_000])
})

test('at least every ten minutes, however often it failed', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e6 }), (failures) => {
      expect(reloadDelayMs(failures)).toBeGreaterThanOrEqual(5_000)
      expect(reloadDelayMs(failures)).toBeLessThanOrEqual(600_000)
    }),
  )
})
