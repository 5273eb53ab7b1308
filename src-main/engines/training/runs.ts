/**
 * From examples to runs. A run is a rectangle of tokens: its sequences are padded at their ends to the longest. Causality
 * keeps padding out of every real position, and only positions with a target reach the loss, so padding adds nothing.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { ContextTooLongError } from '#core/errors.ts'
import type { TrainingExample } from '#core/ports/training-engine.ts'

export interface Run {
  /** Each sequence's place in the batch. */
  readonly examples: readonly number[]
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
  const lengthOf = (example: number) => batch[example]?.tokens.length ?? 0
  const longestFirst = [...batch.keys()].sort((a, b) => lengthOf(b) - lengthOf(a))
  const runs: Run[] = []
  for (let start = 0; start < longestFirst.length; ) {
    const tokens = lengthOf(longestFirst[start] as number) - 1
    const most = Math.max(1, Math.floor(positionsPerRun / tokens))
    const left = longestFirst.length - start
    const count = Math.ceil(left / Math.ceil(left / most)) // as many in each of the runs that it takes
    runs.push(packRun(batch, longestFirst.slice(start, start + count), tokens))
    start += count
  }
  return runs
}

/** How much the targets of a batch weigh together. */
export function sumOfWeights(runs: readonly Run[]): number {
  return runs.reduce((sum, { targetWeights }) => targetWeights.reduce((part, weight) => part + weight, sum), 0)
}

export interface Prediction {
  /** Its place in the batch. */
  readonly example: number
  readonly position: number
  /** Its place among the run's positions. */
  readonly place: number
}

/** Which example and position of it each of the run's positions is. */
export function predictions({ examples, tokens, positions }: Run): readonly Prediction[] {
  return Array.from(positions, (at, place) => ({
    example: examples[Math.floor(at / tokens)] as number,
    position: at % tokens,
    place,
  }))
}

/** Each position's target; the next token unless the example says otherwise. -> (tokens - 1,) */
function targetsOf({ tokens, targets }: TrainingExample): readonly number[] {
  return targets ?? tokens.slice(1)
}

function packRun(batch: readonly TrainingExample[], examples: readonly number[], tokens: number): Run {
  const ids = new Uint32Array(examples.length * tokens)
  const counted: { position: number; target: number; weight: number }[] = []
  for (const [row, index] of examples.entries()) {
    const example = batch[index] as TrainingExample
    ids.set(example.tokens.slice(0, -1), row * tokens)
    for (const [i, target] of targetsOf(example).entries()) {
      const weight = example.targetWeights?.[i] ?? 1
      if (weight !== 0) counted.push({ position: row * tokens + i, target, weight })
    }
  }
  return {
    examples,
    sequences: examples.length,
    tokens,
    ids,
    positions: Uint32Array.from(counted, ({ position }) => position),
    targets: BigInt64Array.from(counted, ({ target }) => BigInt(target)),
    targetWeights: Float32Array.from(counted, ({ weight }) => weight),
  }
}

function checkExample(
  { tokens, targets, targetWeights }: TrainingExample,
  { vocabularySize, contextLength }: ModelConfig,
): void {
  if (tokens.length < 2) throw new RangeError(`an example of ${tokens.length} tokens predicts nothing`)
  const predicted = tokens.length - 1
  if (predicted > contextLength) throw new ContextTooLongError(predicted, contextLength)
  checkTokens('token', tokens, vocabularySize)
  if (targets !== undefined) {
    checkLength('targets', targets, tokens)
    checkTokens('target', targets, vocabularySize)
  }
  if (targetWeights === undefined) return
  checkLength('target weights', targetWeights, tokens)
  if (!targetWeights.every(Number.isFinite)) throw new RangeError('a target weight is not a number')
}

function checkTokens(what: string, tokens: readonly number[], vocabularySize: number): void {
  const wrong = tokens.find((token) => !(Number.isInteger(token) && token >= 0 && token < vocabularySize))
  if (wrong !== undefined) throw new RangeError(`${what} ${wrong} is not below ${vocabularySize}`)
}

function checkLength(what: string, values: ArrayLike<number>, tokens: readonly number[]): void {
  if (values.length !== tokens.length - 1) throw new RangeError(`${values.length} ${what} for ${tokens.length} tokens`)
}
