/** How sure a gain is: the interval of a paired bootstrap, the same items before and after (Efron & Tibshirani 1993, ch. 13). */
import type { Metric } from '#contracts/patch-file/header.ts'
import { createRandom } from '../numerics/random.ts'

/** What one item adds to the sums whose quotient is the measure. */
export interface PairedItem {
  readonly before: number
  readonly after: number
  readonly weight: number
}

export interface Improvement {
  /** `lower`: a loss; `higher`: an accuracy. */
  readonly better: 'lower' | 'higher'
  readonly seed: number
  readonly resamples?: number
}

/**
 * Σ before / Σ weight, the same after, and the gain with the 2.5 and 97.5 percentiles of its bootstrap. Null without items that
 * weigh anything.
 */
export function pairedGain(
  items: readonly PairedItem[],
  { better, seed, resamples = 2_000 }: Improvement,
): Pick<Metric, 'before' | 'after' | 'gain' | 'items'> | null {
  const total = sums(items, (i) => i)
  if (!(total.weight > 0)) return null
  const sign = better === 'lower' ? 1 : -1
  const random = createRandom(seed)
  const gains = new Float64Array(resamples)
  for (let r = 0; r < resamples; r++) {
    const { before, after, weight } = sums(items, () => Math.floor(random() * items.length))
    gains[r] = weight > 0 ? (sign * (before - after)) / weight : 0
  }
  gains.sort()
  return {
    before: total.before / total.weight,
    after: total.after / total.weight,
    gain: { mean: (sign * (total.before - total.after)) / total.weight, low: at(gains, 0.025), high: at(gains, 0.975) },
    items: items.length,
  }
}

/** Of as many items as there are, each the one `pick` says. */
function sums(items: readonly PairedItem[], pick: (i: number) => number): PairedItem {
  let [before, after, weight] = [0, 0, 0]
  for (let i = 0; i < items.length; i++) {
    const item = items[pick(i)] as PairedItem
    before += item.before
    after += item.after
    weight += item.weight
  }
  return { before, after, weight }
}

function at(sorted: Float64Array, quantile: number): number {
  return sorted[Math.round(quantile * (sorted.length - 1))] as number
}
