/**
 * What "relative" means in these tests: the largest absolute difference over the largest absolute value expected. Single
 * elements near zero carry the rounding of their large neighbours, so a ratio element by element would measure noise.
 */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY
  let difference = 0
  let largest = 0
  for (let i = 0; i < expected.length; i++) {
    const gap = Math.abs((actual[i] as number) - (expected[i] as number))
    if (Number.isNaN(gap)) return Number.POSITIVE_INFINITY
    difference = Math.max(difference, gap)
    largest = Math.max(largest, Math.abs(expected[i] as number))
  }
  return difference === 0 ? 0 : difference / largest
}
