/**
 * The Train wizard as a value: what its fields hold as they are typed, and the request they make. The contract's own
 * schema decides what is allowed, so the form can never disagree with the node. Empty fields are left to the plan.
 */
import { type DataFile, type TrainRequest, trainRequestSchema } from '#contracts/api/training.ts'
import type {
  headPolicies,
  MaskChoice,
  maskQuotas,
  maskScopes,
  TrainingMethod,
  ValueFormat,
} from '#contracts/patch-file/header.ts'

export const wizardPages = ['data', 'method', 'limits'] as const
export type WizardPage = (typeof wizardPages)[number]

/** What the wizard offers; `random` and `magnitude` are controls for experiments and stay with the command line. */
export const offeredMethods = ['fish', 'ia3', 'full'] as const satisfies readonly TrainingMethod[]
export type OfferedMethod = (typeof offeredMethods)[number]

/** Shares of the model's numbers that the slider stops at. */
export const keepRatios: readonly number[] = [0.001, 0.002, 0.005, 0.01, 0.02]

export type Fisher = NonNullable<MaskChoice['fisher']>

/** Until a plan says what the node would choose. */
export const fallbackFisher: Fisher = { kind: 'empirical', examples: 256, trialSteps: 0 }

export type WizardForm = {
  /** Digest; null: the one this node hosts. */
  readonly model: string | null
  readonly dataDescription: string
  readonly dataLicence: string
  readonly method: OfferedMethod
  readonly keepRatio: number
  readonly protection: 'none' | 'own-text' | 'files'
  readonly protectedPercent: string
  readonly quota: (typeof maskQuotas)[number]
  readonly scope: (typeof maskScopes)[number]
  readonly head: (typeof headPolicies)[number]
  readonly fisherKind: Fisher['kind']
  readonly fisherExamples: string
  readonly trialSteps: string
  readonly learningRate: string
  readonly steps: string
  readonly batchSize: string
  readonly sequenceLength: string
  readonly seed: string
  readonly valueFormat: ValueFormat
  readonly includeFisher: boolean
  readonly title: string
  readonly description: string
  readonly licence: string
  readonly minutes: string
  readonly stopEarly: boolean
  readonly patience: string
}

/** Fields that can hold something that does not fit. */
export const checkedFields = [
  'dataDescription',
  'dataLicence',
  'protectedPercent',
  'fisherExamples',
  'trialSteps',
  'learningRate',
  'steps',
  'batchSize',
  'sequenceLength',
  'seed',
  'title',
  'description',
  'licence',
  'minutes',
  'patience',
] as const satisfies readonly (keyof WizardForm)[]
export type CheckedField = (typeof checkedFields)[number]

export const pageOfField: Readonly<Record<CheckedField, WizardPage>> = {
  dataDescription: 'data',
  dataLicence: 'data',
  protectedPercent: 'method',
  fisherExamples: 'method',
  trialSteps: 'method',
  learningRate: 'method',
  steps: 'method',
  batchSize: 'method',
  sequenceLength: 'method',
  seed: 'method',
  title: 'limits',
  description: 'limits',
  licence: 'limits',
  minutes: 'limits',
  patience: 'limits',
}

export const defaultForm: WizardForm = {
  model: null,
  dataDescription: '',
  dataLicence: '',
  method: 'fish',
  keepRatio: 0.005,
  protection: 'none',
  protectedPercent: '25',
  quota: 'joint',
  scope: 'all',
  head: 'in-budget',
  fisherKind: 'empirical',
  fisherExamples: '',
  trialSteps: '',
  learningRate: '',
  steps: '',
  batchSize: '',
  sequenceLength: '',
  seed: '',
  valueFormat: 'int8',
  includeFisher: false,
  title: '',
  description: '',
  licence: 'CC0-1.0',
  minutes: '',
  stopEarly: true,
  patience: '5',
}

export type WizardFiles = { readonly data: readonly DataFile[]; readonly protection: readonly DataFile[] }

export type ReadForm =
  | { readonly kind: 'request'; readonly request: TrainRequest }
  | {
      readonly kind: 'invalid'
      readonly fields: ReadonlySet<CheckedField>
      readonly lacks: 'data' | 'protection' | null
    }

/**
 * What is typed, to a request, or to the fields that do not fit. `fisher` is what the node chooses by itself: what is left
 * empty stays as it is there.
 */
export function readForm(form: WizardForm, files: WizardFiles, fisher: Fisher = fallbackFisher): ReadForm {
  const parsed = trainRequestSchema.safeParse({
    model: form.model,
    data: files.data,
    dataDescription: form.dataDescription,
    dataLicence: form.dataLicence.trim(),
    title: form.title.trim(),
    description: form.description,
    licence: form.licence.trim(),
    method: form.method,
    mask: form.method === 'fish' ? maskOf(form, fisher) : {},
    hyperParameters: hyperParametersOf(form),
    protection: protectionOf(form, files.protection),
    patience: form.stopEarly ? toNumber(form.patience) : null,
    valueFormat: form.valueFormat,
    includeFisher: form.method === 'fish' && form.includeFisher,
    limits: { minutes: form.minutes.trim() === '' ? null : toNumber(form.minutes) },
  })
  if (parsed.success) return { kind: 'request', request: parsed.data }
  const paths = parsed.error.issues.map(({ path }) => path.map(String))
  return { kind: 'invalid', fields: new Set(paths.flatMap(fieldOf)), lacks: lackOf(paths) }
}

/** For a plan a name is not needed yet, and what is typed on later pages does not hold it up. */
export function readForPlan(form: WizardForm, files: WizardFiles, fisher: Fisher = fallbackFisher): ReadForm {
  const named = { ...form, title: form.title.trim() === '' ? 'Untitled' : form.title }
  const read = readForm(named, files, fisher)
  if (read.kind === 'request') return read
  const { description, licence, minutes, patience } = defaultForm
  return readForm({ ...named, title: 'Untitled', description, licence, minutes, patience }, files, fisher)
}

export function fieldsOfPage(fields: ReadonlySet<CheckedField>, page: WizardPage): CheckedField[] {
  return checkedFields.filter((field) => fields.has(field) && pageOfField[field] === page)
}

function maskOf(form: WizardForm, planned: Fisher) {
  const { keepRatio, quota, scope, head } = form
  const { fisherKind, fisherExamples, trialSteps } = form
  const isPlanned = [fisherExamples, trialSteps].every((text) => text.trim() === '') && fisherKind === planned.kind
  const fisher = {
    kind: fisherKind,
    examples: fisherExamples.trim() === '' ? planned.examples : toNumber(fisherExamples),
    trialSteps: trialSteps.trim() === '' ? planned.trialSteps : toNumber(trialSteps),
  }
  return { keepRatio, quota, scope, head, ...(!isPlanned && { fisher }) }
}

function hyperParametersOf(form: WizardForm): Record<string, number> {
  const typed = {
    learningRate: form.learningRate,
    steps: form.steps,
    batchSize: form.batchSize,
    sequenceLength: form.sequenceLength,
    seed: form.seed,
  }
  return Object.fromEntries(
    Object.entries(typed)
      .filter(([, text]) => text.trim() !== '')
      .map(([name, text]) => [name, toNumber(text)]),
  )
}

function protectionOf(form: WizardForm, files: readonly DataFile[]) {
  if (form.protection === 'none') return { kind: 'none' }
  const share = toNumber(form.protectedPercent) / 100
  return form.protection === 'files' ? { kind: 'files', share, files } : { kind: 'own-text', share }
}

const fieldNames: ReadonlyMap<string, CheckedField> = new Map([
  ...checkedFields.map((field) => [field, field] as const),
  ['mask.fisher.examples', 'fisherExamples'],
  ['mask.fisher.trialSteps', 'trialSteps'],
  ['protection.share', 'protectedPercent'],
  ['limits.minutes', 'minutes'],
])

function fieldOf(path: readonly string[]): CheckedField[] {
  const whole = path.join('.')
  const field = fieldNames.get(whole.replace(/^hyperParameters\./, ''))
  return field === undefined ? [] : [field]
}

function lackOf(paths: readonly (readonly string[])[]): 'data' | 'protection' | null {
  if (paths.some(([first]) => first === 'data')) return 'data'
  return paths.some(([first, second]) => first === 'protection' && second === 'files') ? 'protection' : null
}

/** An empty field is not zero. */
function toNumber(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text)
}
