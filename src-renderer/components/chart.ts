/** The geometry of a line chart: ticks at round numbers, and labels that do not lie on one another. Pure. */

/** Round numbers that cover `low` to `high`, about `count` of them. */
export function niceTicks(low: number, high: number, count = 5): number[] {
  if (!(high > low)) return [low]
  const rough = (high - low) / Math.max(1, count - 1)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10) * power
  const first = Math.floor(low / step + 1e-9)
  const last = Math.ceil(high / step - 1e-9)
  return Array.from({ length: last - first + 1 }, (_, at) => Number(((first + at) * step).toPrecision(12)))
}

export type Point = { readonly x: number; readonly y: number }

/** The points joined, as an SVG path. */
export function linePath(points: readonly Point[]): string {
  return points.map(({ x, y }, at) => `${at === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('')
}

/** Two heights, moved apart around their middle when they are closer than `gap`. */
export function spread(a: number, b: number, gap: number): readonly [number, number] {
  if (Math.abs(a - b) >= gap) return [a, b]
  const middle = (a + b) / 2
  return a <= b ? [middle - gap / 2, middle + gap / 2] : [middle + gap / 2, middle - gap / 2]
}
