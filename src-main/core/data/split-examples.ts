/** Tokenised documents as units of the split, and the units as examples to train on and to measure with. */
import type { DataCard } from '#contracts/patch-file/header.ts'
import type { TrainingExample } from '../ports/training-engine.ts'
import type { ChoiceExample, Objective, PreparedExamples } from './prepared-data.ts'
import { heldOutCount, heldOutWindows, sectionLengths, splitKey } from './split.ts'
import type { TokenisedDocument } from './tokenise.ts'

/** What is held out or trained on as a whole. */
export interface Unit {
  readonly key: string
  readonly where: string
  /** Its place in the data as it was read, for people. */
  readonly order: number
  readonly examples: readonly TrainingExample[]
  /** Its question; null when it is text. `examples` has then the right choice. */
  readonly choice: ChoiceExample | null
}

export interface PlacedUnit extends Unit {
  readonly heldOut: boolean
}

/** None for a document in which there is nothing to learn. */
export function unitsOf(digest: string, where: string, order: number, tokenised: TokenisedDocument): Unit[] {
  if (tokenised.kind === 'choice') {
    const { choice } = tokenised
    const right = choice.choices[choice.answer]
    if (right === undefined || !choice.choices.every(isLearnt)) return []
    return [{ key: splitKey(digest, 0), where, order, examples: [right], choice }]
  }
  let begin = 0
  return sectionLengths(tokenised.examples.length).map((length, section) => {
    const examples = tokenised.examples.slice(begin, begin + length)
    begin += length
    return { key: splitKey(digest, section), where, order: order + section, examples, choice: null }
  })
}

/** Ascending by key; which are set aside is decided. */
export function placeUnits(units: readonly Unit[]): readonly PlacedUnit[] {
  const [alone, another] = units
  if (alone !== undefined && another === undefined) return placeAlone(alone)
  const sorted = [...units].sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)))
  const heldOut = heldOutCount(sorted.map(({ key }) => key))
  return sorted.map((unit, index) => ({ ...unit, heldOut: index < heldOut }))
}

function placeAlone(unit: Unit): PlacedUnit[] {
  const windows = unit.examples.length
  const kept = windows - heldOutWindows(unit.examples.map(({ tokens }) => tokens.length))
  const training = { ...unit, examples: unit.examples.slice(0, kept), heldOut: false }
  if (kept === windows) return [training]
  return [training, { ...unit, order: unit.order + 1, examples: unit.examples.slice(kept), heldOut: true }]
}

export type SplitCounts = Pick<DataCard, 'trainingExamples' | 'heldOutExamples' | 'trainingTokens' | 'heldOutTokens'>

/** Under `multiple-choice` every unit must be a question. */
export function assembleExamples(
  units: readonly PlacedUnit[],
  objective: Objective,
): { readonly examples: PreparedExamples; readonly counts: SplitCounts } {
  const [train, heldOut] = [units.filter((unit) => !unit.heldOut), units.filter((unit) => unit.heldOut)]
  if (objective === 'language-model') {
    const examples = { objective, train: train.flatMap(examplesOf), heldOut: heldOut.flatMap(examplesOf) }
    return { examples, counts: countsOf(examples, (example) => example.tokens.length) }
  }
  const examples = { objective, train: train.flatMap(choiceOf), heldOut: heldOut.flatMap(choiceOf) }
  return { examples, counts: countsOf(examples, choiceTokens) }
}

export function exampleTokens(examples: readonly TrainingExample[]): number {
  return examples.reduce((sum, { tokens }) => sum + tokens.length, 0)
}

export function choiceTokens({ choices }: ChoiceExample): number {
  return exampleTokens(choices)
}

function countsOf<T>(
  { train, heldOut }: { readonly train: readonly T[]; readonly heldOut: readonly T[] },
  tokensOf: (example: T) => number,
): SplitCounts {
  const total = (examples: readonly T[]) => examples.reduce((sum, example) => sum + tokensOf(example), 0)
  return {
    trainingExamples: train.length,
    heldOutExamples: heldOut.length,
    trainingTokens: total(train),
    heldOutTokens: total(heldOut),
  }
}

const examplesOf = ({ examples }: Unit) => examples
const choiceOf = ({ choice }: Unit) => (choice === null ? [] : [choice])

function isLearnt({ tokens, targetWeights }: TrainingExample): boolean {
  return tokens.length >= 2 && (targetWeights === undefined || targetWeights.includes(1))
}
