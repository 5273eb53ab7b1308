/**
 * Held-out examples have two uses that must not mix: choosing (the learning rate, the step to stop at) and judging what
 * was chosen. Where there are enough, one part chooses and the other alone is told in the patch.
 */

export interface HeldOutSplit<T> {
  /** Measured again and again while training: few. */
  readonly validation: readonly T[]
  /** Measured before and after. */
  readonly test: readonly T[]
}

const fewestToSplit = 16
const mostForValidation = 64
/** More narrows an interval little, and measuring a large model on them takes long. */
const mostForTest = 256

/** How many examples each part will have. */
export function splitSizes(count: number): { readonly validation: number; readonly test: number } {
  if (count < fewestToSplit) return { validation: count, test: count }
  const validation = Math.min(mostForValidation, Math.floor(count / 2))
  return { validation, test: Math.min(mostForTest, count - validation) }
}

/** Evenly spread, so that both parts have something of every document. With few examples each part is all of them. */
export function splitHeldOut<T>(items: readonly T[]): HeldOutSplit<T> {
  if (items.length < fewestToSplit) return { validation: items, test: items }
  const sizes = splitSizes(items.length)
  const [validation, others] = spread(items, sizes.validation)
  return { validation, test: spread(others, sizes.test)[0] }
}

/** `count` of the items at even distances, and the rest. */
function spread<T>(items: readonly T[], count: number): readonly [chosen: readonly T[], others: readonly T[]] {
  const before = (i: number) => Math.floor((i * count) / items.length)
  const isChosen = (_: T, i: number) => before(i + 1) > before(i)
  return [items.filter(isChosen), items.filter((item, i) => !isChosen(item, i))]
}
