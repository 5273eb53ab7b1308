/**
 * Which examples each step sees: a pure function of the seed and the step, so that a run that goes on where it was goes on
 * the same way. Examples are dealt out in epochs, each in an order of its own; text that protects the base is a second deck.
 */
import { deriveSeed, shuffledIndices } from '../numerics/random.ts'

export interface BatchInit {
  /** Examples of the data; at least one. */
  readonly count: number
  /** Examples of the base's own kind of text. None: nothing is mixed in. */
  readonly baseCount: number
  readonly batchSize: number
  /** Of all examples dealt so far, the share that is base text, to the nearest below; so a batch of 8 can have 10 %. */
  readonly protectedShare: number
  readonly seed: number
}

export interface Batch {
  /** Places in the data. */
  readonly own: readonly number[]
  /** Places in the base text. */
  readonly base: readonly number[]
}

/** -> the batch of a step, counted from 0. */
export function createBatches({
  count,
  baseCount,
  batchSize,
  protectedShare,
  seed,
}: BatchInit): (step: number) => Batch {
  const share = baseCount > 0 ? protectedShare : 0
  const baseBefore = (step: number) => Math.floor(step * batchSize * share + 1e-9) // 10 x 0.1 is 1, whatever floats say
  const own = createDeck(count, deriveSeed(seed, ownLabel))
  const base = createDeck(baseCount, deriveSeed(seed, baseLabel))
  return (step) => {
    const [from, to] = [baseBefore(step), baseBefore(step + 1)]
    return {
      own: own(step * batchSize - from, (step + 1) * batchSize - to),
      base: base(from, to),
    }
  }
}

const ownLabel = 1
const baseLabel = 2

/** Cards `start` to `end` of an endless row of decks, each shuffled by itself. */
function createDeck(count: number, seed: number): (start: number, end: number) => number[] {
  let epoch = -1
  let order: Uint32Array = new Uint32Array()
  return (start, end) =>
    Array.from({ length: end - start }, (_, i) => {
      const wanted = Math.floor((start + i) / count)
      if (wanted !== epoch) {
        epoch = wanted
        order = shuffledIndices(count, deriveSeed(seed, epoch))
      }
      return order[(start + i) % count] as number
    })
}
