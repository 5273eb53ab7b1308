import type { CurvePoint } from '#contracts/api/training.ts'

/**
 * At most `maximum` points, in order. Measurements of the held-out loss are few and what the curve is looked at for: they
 * are kept before others, which are thinned evenly. The first and the last point always stay.
 */
export function thinCurve(points: readonly CurvePoint[], maximum: number): CurvePoint[] {
  if (points.length <= maximum) return [...points]
  const places = points.map((_, place) => place)
  const measured = evenly(
    places.filter((place) => points[place]?.heldOut !== null),
    Math.floor(maximum / 2),
  )
  const ends = [0, points.length - 1]
  const firm = new Set([...ends, ...measured])
  const others = places.filter((place) => !firm.has(place))
  const kept = new Set([...firm, ...evenly(others, maximum - firm.size)])
  return points.filter((_, place) => kept.has(place))
}

/** `maximum` of `items`, or all, at equal distances. */
function evenly<T>(items: readonly T[], maximum: number): readonly T[] {
  if (items.length <= maximum) return items
  return Array.from({ length: Math.max(0, maximum) }, (_, i) => items[Math.floor((i * items.length) / maximum)] as T)
}
