/** What a patch did, in numbers for its header: on the held-out data, and beside it always on the base's own kind of text. */
import type { Metric } from '#contracts/patch-file/header.ts'
import { deriveSeed } from '../numerics/random.ts'
import { type Improvement, type PairedItem, pairedGain } from './bootstrap.ts'
import type { ItemLoss } from './items.ts'

export interface Measured {
  readonly heldOut: readonly ItemLoss[]
  readonly baseText: readonly ItemLoss[]
}

/** A measure that has no items is left out. */
export function metricsOf(before: Measured, after: Measured, seed: number): Metric[] {
  const questions = before.heldOut.some(({ right }) => right !== null)
  const lossUnit = questions ? 'nats/question' : 'nats/token'
  return [
    metric('held-out-loss', lossUnit, lossPairs(before.heldOut, after.heldOut), {
      better: 'lower',
      seed: deriveSeed(seed, 1),
    }),
    metric('held-out-accuracy', 'share', answerPairs(before.heldOut, after.heldOut), {
      better: 'higher',
      seed: deriveSeed(seed, 2),
    }),
    metric('base-text-loss', 'nats/token', lossPairs(before.baseText, after.baseText), {
      better: 'lower',
      seed: deriveSeed(seed, 3),
    }),
  ].filter((each) => each !== null)
}

/** The share of the gain that is lost between two measurements of one patch; null when there was none to lose. */
export function lostShare(
  before: readonly ItemLoss[],
  exact: readonly ItemLoss[],
  rounded: readonly ItemLoss[],
): number | null {
  const sum = (items: readonly ItemLoss[]) => items.reduce((total, { loss }) => total + loss, 0)
  const gain = sum(before) - sum(exact)
  return gain > 0 ? (sum(rounded) - sum(exact)) / gain : null
}

function metric(name: string, unit: string, pairs: readonly PairedItem[], improvement: Improvement): Metric | null {
  const measured = pairedGain(pairs, improvement)
  return measured && { name, unit, ...measured }
}

function lossPairs(before: readonly ItemLoss[], after: readonly ItemLoss[]): PairedItem[] {
  return before.map(({ loss, weight }, i) => ({ before: loss, after: after[i]?.loss ?? Number.NaN, weight }))
}

function answerPairs(before: readonly ItemLoss[], after: readonly ItemLoss[]): PairedItem[] {
  return before.flatMap(({ right }, i) =>
    right === null ? [] : [{ before: Number(right), after: Number(after[i]?.right), weight: 1 }],
  )
}
