/** What a run learns from and is measured by: texts and multiple-choice questions, in one batch where base text is mixed in. */
import type { OptimizerStep, Trainee, TrainingExample } from '../ports/training-engine.ts'
import { type ChoiceLoss, choiceLoss } from './choice-loss.ts'
import type { ChoiceExample } from './run-types.ts'
import { type Gate, groupByTokens } from './work-groups.ts'

export type RunItem = TrainingExample | ChoiceExample

/** What one item's loss adds to a mean: nats over targets of a text, T-Few's loss over one question. */
export interface ItemLoss {
  readonly loss: number
  readonly weight: number
  /** Of a question: whether the right choice is the likeliest for its length. Null for a text. */
  readonly right: boolean | null
}

export interface WorkOptions {
  readonly signal: AbortSignal
  readonly gate: Gate
  /** Tokens of a forward call. */
  readonly callTokens: number
}

export interface StepOutcome {
  /** Mean over the batch: nats a target, or a question. */
  readonly loss: number
  /** Not finite: nothing was changed. */
  readonly gradientNorm: number
  readonly tokens: number
}

export function isQuestion(item: RunItem): item is ChoiceExample {
  return 'choices' in item
}

export function examplesOf(item: RunItem): readonly TrainingExample[] {
  return isQuestion(item) ? item.choices : [item]
}

export function tokensOf(item: RunItem): number {
  return examplesOf(item).reduce((sum, { tokens }) => sum + tokens.length, 0)
}

/** Forward only, in pieces; `onDone` hears how many items are done. -> one for each item */
export async function itemLosses(
  trainee: Trainee,
  items: readonly RunItem[],
  { signal, gate, callTokens }: WorkOptions,
  onDone: (items: number) => Promise<void> = async () => {},
): Promise<ItemLoss[]> {
  const losses: ItemLoss[] = []
  for (const group of groupByTokens(items, callTokens, tokensOf)) {
    await gate(signal)
    signal.throwIfAborted()
    const scored = await scoreItems(trainee, group, signal)
    for (const { item, logProbabilities } of scored) losses.push(lossOf(item, logProbabilities))
    await onDone(losses.length)
  }
  return losses
}

/** Weighted mean; null when nothing weighs anything. */
export function meanLoss(losses: readonly ItemLoss[]): number | null {
  const weight = losses.reduce((sum, item) => sum + item.weight, 0)
  return weight > 0 ? losses.reduce((sum, { loss }) => sum + loss, 0) / weight : null
}

/**
 * One update on a batch. Texts alone count by targets; with questions among them every item counts the same, a text by its
 * mean over targets.
 */
export async function stepOn(
  trainee: Trainee,
  batch: readonly RunItem[],
  optimizer: OptimizerStep,
  work: WorkOptions,
): Promise<StepOutcome> {
  const tokens = batch.reduce((sum, item) => sum + tokensOf(item), 0)
  const { signal } = work
  if (!batch.some(isQuestion)) {
    await work.gate(signal)
    signal.throwIfAborted()
    const texts = batch.flatMap(examplesOf)
    const { lossSum, weightSum, gradientNorm } = await trainee.step(texts, optimizer, { signal })
    return { loss: weightSum > 0 ? lossSum / weightSum : 0, gradientNorm, tokens }
  }
  const { examples, loss } = await weighBatch(trainee, batch, work)
  await work.gate(signal)
  signal.throwIfAborted()
  const { gradientNorm } = await trainee.step(examples, { ...optimizer, divisor: batch.length }, { signal })
  return { loss, gradientNorm, tokens }
}

/** A batch as examples whose weighted likelihood has the gradient of the items' summed losses; and their mean loss. */
export async function weighBatch(trainee: Trainee, batch: readonly RunItem[], work: WorkOptions) {
  const examples: TrainingExample[] = []
  let lossSum = 0
  for (const group of groupByTokens(batch, work.callTokens, tokensOf)) {
    await work.gate(work.signal)
    work.signal.throwIfAborted()
    for (const { item, logProbabilities } of await scoreItems(trainee, group, work.signal)) {
      const { loss, weight } = lossOf(item, logProbabilities)
      if (weight > 0) lossSum += loss / weight
      examples.push(...(isQuestion(item) ? weighQuestion(item, logProbabilities) : [weighText(item, weight)]))
    }
  }
  return { examples, loss: lossSum / batch.length }
}

interface ScoredItem {
  readonly item: RunItem
  /** One array for each example of the item. */
  readonly logProbabilities: readonly Float32Array[]
}

async function scoreItems(trainee: Trainee, items: readonly RunItem[], signal: AbortSignal): Promise<ScoredItem[]> {
  const all = await trainee.logProbabilities(items.flatMap(examplesOf), { signal })
  let next = 0
  return items.map((item) => {
    const from = next
    next += examplesOf(item).length
    return { item, logProbabilities: all.slice(from, next) }
  })
}

function lossOf(item: RunItem, logProbabilities: readonly Float32Array[]): ItemLoss {
  if (isQuestion(item)) {
    const { loss, right } = questionLoss(item, logProbabilities)
    return { loss, weight: 1, right }
  }
  let [loss, weight] = [0, 0]
  for (const [t, logProbability] of (logProbabilities[0] ?? []).entries()) {
    const counts = item.targetWeights?.[t] ?? 1
    if (counts !== 0) loss -= counts * logProbability
    weight += counts
  }
  return { loss, weight, right: null }
}

function questionLoss({ choices, answer }: ChoiceExample, logProbabilities: readonly Float32Array[]): ChoiceLoss {
  const scores = choices.map(({ targetWeights }, n) => ({
    logProbabilities: logProbabilities[n] as Float32Array,
    weights: targetWeights,
  }))
  return choiceLoss(scores, answer)
}

function weighQuestion(question: ChoiceExample, logProbabilities: readonly Float32Array[]): TrainingExample[] {
  const { targetWeights } = questionLoss(question, logProbabilities)
  return question.choices.map((choice, n) => ({ ...choice, targetWeights: targetWeights[n] as Float32Array }))
}

function weighText(text: TrainingExample, weight: number): TrainingExample {
  const weights = text.targetWeights ?? new Float32Array(text.tokens.length - 1).fill(1)
  return { ...text, targetWeights: weight > 0 ? weights.map((each) => each / weight) : weights }
}
