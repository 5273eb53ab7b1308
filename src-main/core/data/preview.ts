/** The first examples as the model will see them, in the order of the files, one that is set aside among them. */
import type { DataPreview } from '#contracts/api/training.ts'
import type { Tokenizer } from '../ports/model-store.ts'
import type { TrainingExample } from '../ports/training-engine.ts'
import type { Objective } from './prepared-data.ts'
import type { PlacedUnit } from './split-examples.ts'

const maximumSamples = 6
const maximumCharacters = 600
const maximumWhereCharacters = 300
/** A token is rarely longer; what is decoded is bounded by it. */
const maximumTokens = 1_200

export function previewSamples(
  units: readonly PlacedUnit[],
  objective: Objective,
  tokenizer: Tokenizer,
): DataPreview['samples'] {
  const inOrder = [...units].sort((a, b) => a.order - b.order)
  const first = inOrder.slice(0, maximumSamples)
  const heldOut = inOrder.find((unit) => unit.heldOut)
  const shown = heldOut === undefined || first.includes(heldOut) ? first : [...first.slice(0, -1), heldOut]
  return shown.map((unit) => ({
    where: unit.where.slice(0, maximumWhereCharacters),
    heldOut: unit.heldOut,
    text: cut(textOf(unit, objective, tokenizer)),
  }))
}

/** A question's right choice stands behind it, the others below. */
function textOf({ examples, choice }: PlacedUnit, objective: Objective, tokenizer: Tokenizer): string {
  const decode = (tokens: readonly number[]) => tokenizer.decode(tokens.slice(0, maximumTokens))
  if (objective === 'language-model' || choice === null) return decode(examples[0]?.tokens ?? [])
  const right = choice.choices[choice.answer]
  const others = choice.choices.filter((one) => one !== right)
  return [decode(right?.tokens ?? []), ...others.map((one) => decode(learntTokens(one)))].join('\n')
}

function learntTokens({ tokens, targetWeights }: TrainingExample): readonly number[] {
  return tokens.slice(1).filter((_, target) => targetWeights?.[target] !== 0)
}

function cut(text: string): string {
  return text.slice(0, maximumCharacters).replace(/[\ud800-\udbff]$/, '')
}
