/**
 * Work in pieces, so that a run can stop, yield and be paused between them. Pieces are a function of the model and the
 * examples alone, never of the clock: sums would round differently.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { TrainingExample } from '../ports/training-engine.ts'
import { modelParameterCount } from './mask.ts'

/** Waited for before every piece of work. */
export type Gate = (signal: AbortSignal) => Promise<void>

/** A tenth of a second at 50 billion operations a second, which two cores of an old laptop do. */
const operationsPerCall = 5e9

/** Operations of a token and number of the model: two forward, and four more backward. */
const operations = { forward: 2, backward: 6 } as const

/** Tokens that a call of the trainee may take at once. */
export function callTokens(config: ModelConfig, direction: keyof typeof operations): number {
  return Math.max(1, Math.floor(operationsPerCall / (operations[direction] * modelParameterCount(config))))
}

/** Runs of neighbours with at most `maximumTokens` tokens together, or one that is longer by itself. */
export function groupByTokens<T>(
  items: readonly T[],
  maximumTokens: number,
  tokensOf: (item: T) => number = (item) => (item as TrainingExample).tokens.length,
): T[][] {
  const groups: T[][] = []
  let room = 0
  for (const item of items) {
    const tokens = tokensOf(item)
    if (groups.length === 0 || tokens > room) {
      groups.push([])
      room = maximumTokens
    }
    groups.at(-1)?.push(item)
    room -= tokens
  }
  return groups
}
