/**
 * Measuring several things in turn: a machine that is slow for a second is slow for all of them, so the ratios of one round
 * hold where single times do not.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { median, progress } from '../report.ts'

export type Timings<N extends string> = Readonly<Record<N, readonly number[]>>

const warmUps = 3
/** Runtimes let their threads spin for a while after work; the next in turn is not to share a core with them. */
const settleMs = 30

/** Each run gives its own time. The first rounds do not count; every other round goes backwards. */
export async function inTurn<N extends string>(
  runs: Readonly<Record<N, () => Promise<number>>>,
  repetitions: number,
): Promise<Timings<N>> {
  const names = Object.keys(runs) as N[]
  const times = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<N, number[]>
  for (let round = -warmUps; round < repetitions; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      await pause(settleMs)
      const ms = await runs[name]()
      if (round >= 0) times[name].push(ms)
    }
  }
  return times
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await work()
  return performance.now() - startMs
}

/** The median over the rounds of `above`'s time by `below`'s; says on the way how far they spread. */
export function pairedRatio(label: string, above: readonly number[], below: readonly number[]): number {
  const ratios = above.map((time, round) => time / (below[round] ?? Number.NaN))
  progress(`${label}: ratio ${spread(ratios)}; ${spread(above)} ms by ${spread(below)} ms`)
  return median(ratios)
}

function spread(values: readonly number[]): string {
  const digits = (value: number) => value.toPrecision(3)
  return `${digits(median(values))} (${digits(Math.min(...values))} to ${digits(Math.max(...values))})`
}
