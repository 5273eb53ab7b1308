import { expect, test } from 'vitest'
import { createRandom, xoshiro128 } from '#core/numerics/random.ts'

/** The published algorithm on 64-bit integers, as an independent oracle. */
function referenceOutputs(state: bigint[], count: number): number[] {
  const word = (value: bigint) => BigInt.asUintN(32, value)
  const rotate = (value: bigint, by: bigint) => word((value << by) | (word(value) >> (32n - by)))
  let [a = 0n, b = 0n, c = 0n, d = 0n] = state
  return Array.from({ length: count }, () => {
    const output = word(rotate(word(b * 5n), 7n) * 9n)
    const shifted = word(b << 9n)
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotate(d, 11n)
    return Number(output)
  })
}

test('the generator gives the outputs of xoshiro128** 1.1', () => {
  const next = xoshiro128([1, 2, 3, 4])
  const outputs = Array.from({ length: 200 }, next)
  expect(outputs.slice(0, 4)).toEqual([11520, 0, 5927040, 70819200])
  expect(outputs).toEqual(referenceOutputs([1n, 2n, 3n, 4n], 200))
})

test('a seed always gives the same numbers', () => {
  expect(Array.from({ length: 3 }, createRandom(42))).toEqual(Array.from({ length: 3 }, createRandom(42)))
  expect(createRandom(0)()).not.toBe(createRandom(1)())
})

test('numbers fill [0, 1) evenly, for near seeds too', () => {
  const bins = new Array<number>(16).fill(0)
  for (let seed = 0; seed < 1600; seed++) {
    const random = createRandom(seed)
    for (let i = 0; i < 10; i++) {
      const value = random()
      expect(value).toBeGreaterThanOrEqual(0)
      expect(value).toBeLessThan(1)
      bins[Math.floor(value * 16)] = (bins[Math.floor(value * 16)] ?? 0) + 1
    }
  }
  const chiSquare = bins.reduce((sum, seen) => sum + (seen - 1000) ** 2 / 1000, 0)
  expect(chiSquare).toBeLessThan(45) // 15 degrees of freedom: p = 0.0001
})
