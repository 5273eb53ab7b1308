/**
 * Derivatives measured instead of derived: central differences, (f(x + εu) - f(x - εu)) / 2ε along a direction u, of two step
 * sizes, combined so that the error in ε² cancels (Richardson extrapolation): strongly curved models need it.
 */
import { expect } from 'vitest'
import { dot, type Floats } from '#core/numerics/floats.ts'
import { createRandom } from '#test/fakes/model-handle.ts'

const step = 1e-5

/** Numbers in [-1, 1), float64. */
export function randomVector(length: number, seed: number): Float64Array {
  const random = createRandom(seed)
  return Float64Array.from({ length }, random)
}

/** Checks `gradient` of `f` at `x` along a few random directions. */
export function expectGradientOf(f: (x: Float64Array) => number, x: Floats, gradient: Floats): void {
  expect(gradient.length).toBe(x.length)
  for (const seed of [11, 12]) {
    const direction = randomVector(x.length, seed)
    const moved = (by: number) => Float64Array.from(x, (value, i) => value + by * (direction[i] as number))
    const difference = (by: number) => (f(moved(by)) - f(moved(-by))) / (2 * by)
    const measured = (4 * difference(step) - difference(2 * step)) / 3
    const derived = dot(gradient, 0, direction, 0, x.length)
    const size = Math.sqrt(dot(gradient, 0, gradient, 0, x.length)) + 1e-3
    expect(Math.abs(measured - derived) / size).toBeLessThan(1e-6)
  }
}
