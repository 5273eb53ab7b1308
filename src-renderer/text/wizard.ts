/** The wizard's words: its pages, its fields, what each choice means, and the plan that follows. */
import type { RunPlan } from '#contracts/api/training.ts'
import type { HyperParameters } from '#contracts/patch-file/header.ts'
import type { CheckedField, WizardForm, WizardPage } from '../state/training-wizard.ts'
import { formatBytes, formatCount, formatPlural, formatShare, formatSmall } from './format.ts'
import { formatRemaining } from './training.ts'

export const pageNames: Readonly<Record<WizardPage, string>> = {
  data: 'Text and model',
  method: 'Method',
  limits: 'Name and limits',
}

export type FieldWords = {
  readonly label: string
  readonly help: string /** Shown when it does not fit. */
  readonly range: string
}

export const fieldWords: Readonly<Record<CheckedField, FieldWords>> = {
  dataDescription: {
    label: 'What the text is, and where it comes from',
    help: 'Goes into the patch, so that others know what it was made of. May stay empty.',
    range: 'At most 2,000 characters.',
  },
  dataLicence: {
    label: 'Licence of the text',
    help: 'Its SPDX name, such as CC-BY-4.0, or “own work”. May stay empty.',
    range: 'At most 64 characters.',
  },
  protectedPercent: {
    label: 'Share of protected text',
    help: 'Percent of what is trained on. More protects better and learns less.',
    range: 'A number above 0, at most 90.',
  },
  fisherExamples: {
    label: 'Examples to choose by (Fisher examples)',
    help: 'More choose better and take longer.',
    range: 'A whole number.',
  },
  trialSteps: {
    label: 'Trial steps before choosing',
    help: 'Steps of training everything, thrown away again, that show what would move. 0: none.',
    range: 'A whole number, 0 or more.',
  },
  learningRate: {
    label: 'Learning rate',
    help: 'Empty: some are tried for a few steps each, and the best is taken.',
    range: 'A number above 0, at most 1,000.',
  },
  steps: { label: 'Steps', help: 'How often the numbers are corrected.', range: 'A whole number, 0 or more.' },
  batchSize: {
    label: 'Batch',
    help: 'Examples looked at for one correction.',
    range: 'A whole number from 1 to 65,536.',
  },
  sequenceLength: {
    label: 'Sequence length',
    help: 'Tokens of an example at most.',
    range: 'A whole number, 8 or more.',
  },
  seed: {
    label: 'Seed',
    help: 'The same seed and text give the same patch.',
    range: 'A whole number from 0 to 4,294,967,295.',
  },
  title: { label: 'Name of the patch', help: 'What others will see.', range: 'A name of 1 to 80 characters.' },
  description: {
    label: 'Description',
    help: 'What it is good for. May stay empty.',
    range: 'At most 2,000 characters.',
  },
  licence: {
    label: 'Licence of the patch',
    help: 'What others may do with it: an SPDX name. CC0-1.0 allows everything.',
    range: 'A name of 1 to 64 characters.',
  },
  minutes: {
    label: 'Minutes at most',
    help: 'Of training, not of waiting; then it finishes with what it has. Empty: no limit.',
    range: 'Empty, or a whole number from 1 to 100,000.',
  },
  patience: {
    label: 'Measurements without progress',
    help: 'So many in a row end the training.',
    range: 'A whole number from 1 to 1,000.',
  },
}

/** What the plan would take for a field that is left empty. */
export function plannedValue(field: CheckedField, plan: RunPlan | null): string {
  if (field === 'learningRate') return 'tried out'
  if (plan === null) return 'planned'
  const fisher = plan.mask?.fisher ?? null
  if (field === 'fisherExamples' || field === 'trialSteps') {
    return fisher === null ? 'planned' : `${field === 'trialSteps' ? fisher.trialSteps : fisher.examples}`
  }
  const value = plan.hyperParameters[field as keyof HyperParameters]
  return typeof value === 'number' ? `${value}` : 'planned'
}

type Choice<Name extends string> = { readonly value: Name; readonly label: string; readonly help: string }

export const protectionChoices: readonly Choice<WizardForm['protection']>[] = [
  { value: 'none', label: 'Do not protect', help: 'Learns most from your text. Writing of its old kind gets worse.' },
  {
    value: 'own-text',
    label: 'By text it writes itself',
    help: 'The model writes some text before the training, and a share of each step practises it. Forgets less, learns a little less, takes longer.',
  },
  {
    value: 'files',
    label: 'By text you have of its old kind',
    help: 'As above, with files of yours instead. Best when you have what the model was made with.',
  },
]

export const quotaChoices: readonly Choice<WizardForm['quota']>[] = [
  { value: 'joint', label: 'The best of all', help: '' },
  { value: 'per-tensor', label: 'The same share of every tensor', help: '' },
]

export const scopeChoices: readonly Choice<WizardForm['scope']>[] = [
  { value: 'all', label: 'Everywhere, vocabulary too', help: '' },
  { value: 'blocks', label: 'In the blocks only', help: '' },
]

export const headChoices: readonly Choice<WizardForm['head']>[] = [
  { value: 'in-budget', label: 'Chosen like any other', help: '' },
  { value: 'free', label: 'Trained whole, beside the mask', help: '' },
  { value: 'excluded', label: 'Left alone', help: '' },
]

export const fisherChoices: readonly Choice<WizardForm['fisherKind']>[] = [
  { value: 'empirical', label: 'From your text (empirical)', help: '' },
  { value: 'true', label: 'From the model’s own guesses (true)', help: '' },
]

export const valueFormatChoices: readonly Choice<WizardForm['valueFormat']>[] = [
  { value: 'int8', label: '8 bits (int8), smallest', help: '' },
  { value: 'float16', label: '16 bits (float16)', help: '' },
  { value: 'bfloat16', label: '16 bits (bfloat16)', help: '' },
  { value: 'float32', label: '32 bits (float32), exact', help: '' },
]

export const fisherNote =
  'Also tell how important each number was (Fisher values). Helps others merge the patch; tells a little more about your text.'

export function keepRatioInWords(ratio: number): string {
  return `${formatShare(ratio)} of the model’s numbers`
}

export type PlanFigure = { readonly name: string; readonly value: string; readonly note: string }

export function planFigures(plan: RunPlan): readonly PlanFigure[] {
  const { predicted } = plan
  return [
    {
      name: 'Size of the patch',
      value: `about ${formatBytes(predicted.patchBytes)}`,
      note: `${formatPlural(plan.trainedParameters, 'number')} trained`,
    },
    {
      name: 'Memory while training',
      value: `about ${formatBytes(predicted.memoryBytes)}`,
      note: `and ${formatBytes(predicted.diskBytes)} on disk`,
    },
    {
      name: 'Time',
      value: predicted.seconds === null ? 'not known yet' : `about ${formatRemaining(predicted.seconds)}`,
      note:
        predicted.seconds === null
          ? `${formatPlural(plan.hyperParameters.steps, 'step')}; known once the first was measured`
          : `${formatPlural(plan.hyperParameters.steps, 'step')}; longer while you or peers use the machine`,
    },
  ]
}

/** `To go on, correct steps and seed.` */
export function toCorrect(fields: readonly CheckedField[]): string {
  const names = fields.map((field) => fieldWords[field].label.toLowerCase())
  const list = names.length < 2 ? (names[0] ?? '') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
  return `To go on, correct: ${list}.`
}

/** What was decided, line by line, for those who want to repeat it. */
export function planRows(plan: RunPlan): readonly { readonly name: string; readonly value: string }[] {
  const { hyperParameters: hyper, mask, request, data } = plan
  const { protection } = request
  return [
    { name: 'Model', value: plan.base.name },
    {
      name: 'Text',
      value: `${formatPlural(data.trainingExamples, 'example')}, ${formatPlural(data.trainingTokens, 'token')}`,
    },
    {
      name: 'Held out',
      value: `${formatPlural(data.heldOutExamples, 'example')}, ${formatPlural(data.heldOutTokens, 'token')}`,
    },
    { name: 'Trained', value: formatPlural(plan.trainedParameters, 'number') },
    ...(mask === null
      ? []
      : [{ name: 'Mask', value: `${keepRatioInWords(mask.keepRatio)}, ${mask.quota}, ${mask.scope}` }]),
    { name: 'Steps', value: `${formatCount(hyper.steps)} of ${formatPlural(hyper.batchSize, 'example')}` },
    { name: 'Sequence length', value: formatPlural(hyper.sequenceLength, 'token') },
    {
      name: 'Learning rate',
      value: hyper.learningRate === null ? 'tried out' : `${formatSmall(hyper.learningRate)}, ${hyper.schedule}`,
    },
    { name: 'Protected', value: protection.kind === 'none' ? 'no' : `${formatShare(protection.share)} of each step` },
    { name: 'Values', value: request.valueFormat },
    { name: 'Seed', value: `${hyper.seed}` },
    {
      name: 'Ends early',
      value:
        request.patience === null ? 'no' : `after ${formatPlural(request.patience, 'measurement')} without progress`,
    },
    { name: 'Limit', value: request.limits.minutes === null ? 'none' : formatPlural(request.limits.minutes, 'minute') },
  ]
}
