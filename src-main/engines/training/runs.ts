/**
 * From examples to runs. A run is a rectangle of tokens: its sequences are padded at their ends to the longest. Causality
 * keeps padding out of every real position, and only positions with a target reach the loss, so padding adds nothing.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { ContextTooLongError } from '#core/errors.ts'
import type { TrainingExample } from '#core/ports/training-engine.ts'

export interface Run {
  readonly sequences: number
  /** Positions of each sequence. */
  readonly tokens: number
  readonly ids: Uint32Array // (sequences * tokens,)
  /** Positions in `ids` that predict a token that counts, with that token and its weight. */
  readonly positions: Uint32Array
  readonly targets: BigInt64Array
  readonly targetWeights: Float32Array
}

/**
 * Cuts a batch into runs of at most `positionsPerRun` positions, or of one sequence, like lengths together. Throws
 * `RangeError` for examples that say nothing or something impossible, `ContextTooLongError` for those the model cannot hold.
 */
export function planRuns(batch: readonly TrainingExample[], config: ModelConfig, positionsPerRun: number): Run[] {
  for (const example of batch) checkExample(example, config)
  const longestFirst = batch.toSorted((a, b) => b.tokens.length - a.tokens.length)
  const runs: Run[] = []
  for (let start = 0; start < longestFirst.length; ) {
    const tokens = (longestFirst[start]?.tokens.length ?? 0) - 1
    const count = Math.max(1, Math.floor(positionsPerRun / tokens))
    runs.push(packRun(longestFirst.slice(start, start + count), tokens))
    start += count
  }
  return runs
}

/** How much the targets of a batch weigh together. */
export function sumOfWeights(runs: readonly Run[]): number {
  return runs.reduce((sum, { targetWeights }) => targetWeights.reduce((part, weight) => part + weight, sum), 0)
}

function packRun(examples: readonly TrainingExample[], tokens: number): Run {
  const ids = new Uint32Array(examples.length * tokens)
  const counted: { position: number; target: number; weight: number }[] = []
  for (const [row, { tokens: sequence, targetWeights }] of examples.entries()) {
    ids.set(sequence.slice(0, -1), row * tokens)
    for (const [i, target] of sequence.slice(1).entries()) {
      const weight = targetWeights?.[i] ?? 1
      if (weight !== 0) counted.push({ position: row * tokens + i, target, weight })
    }
  }
  return {
    sequences: examples.length,
    tokens,
    ids,
    positions: Uint32Array.from(counted, ({ position }) => position),
    targets: BigInt64Array.from(counted, ({ target }) => BigInt(target)),
    targetWeights: Float32Array.from(counted, ({ weight }) => weight),
  }
}

function checkExample(
  { tokens, targetWeights }: TrainingExample,
  { vocabularySize, contextLength }: ModelConfig,
): void {
  if (tokens.length < 2) throw new RangeError(`an example of ${tokens.length} tokens predicts nothing`)
  if (tokens.length - 1 > contextLength) throw new ContextTooLongError(tokens.length - 1, contextLength)
  const wrong = tokens.find((token) => !(Number.isInteger(token) && token >= 0 && token < vocabularySize))
  if (wrong !== undefined) throw new RangeError(`token ${wrong} is not below ${vocabularySize}`)
  if (targetWeights === undefined) return
  if (targetWeights.length !== tokens.length - 1) {
    throw new RangeError(`${targetWeights.length} target weights for ${tokens.length} tokens`)
  }
  if (!targetWeights.every((weight) => weight >= 0 && Number.isFinite(weight))) {
    throw new RangeError('a target weight is negative or not a number')
  }
}
