import { expect, test } from 'vitest'
import { assumedOperationsPerSecond } from '#core/training/assumed-speed.ts'

test('a machine that has not trained is taken for as fast as its best instruction set suggests', () => {
  expect(assumedOperationsPerSecond(['sse4_2', 'avx2', 'fma', 'avx512f'], 2)).toBe(100e9)
  expect(assumedOperationsPerSecond(['sse4_2', 'avx2'], 4)).toBe(100e9)
  expect(assumedOperationsPerSecond(['feat_advsimd'], 1)).toBe(15e9)
})

test('a machine that nothing is known of is taken for slow', () => {
  expect(assumedOperationsPerSecond(null, 2)).toBe(8e9)
  expect(assumedOperationsPerSecond([], 1)).toBe(4e9)
})
