/**
 * The settings form of a generation: text fields as they are typed, and the request they make. The contract's own schema
 * decides what is allowed, so the form can never disagree with the node.
 */
import { type GenerateRequest, generateRequestSchema } from '#contracts/api/chat.ts'

export type ChatSettings = {
  readonly model: string | null
  readonly maxTokens: string
  readonly temperature: string
  readonly topP: string
  readonly topK: string
  /** Empty: the node draws one. */
  readonly seed: string
  /** Texts before which the continuation ends, one a line. */
  readonly stop: string
  readonly localOnly: boolean
  /** Digests of the patches to use. */
  readonly patches: readonly string[]
  /** Write the text a second time, with the same seed and without the patches. */
  readonly compare: boolean
}

export type NumberField = 'maxTokens' | 'temperature' | 'topP' | 'topK' | 'seed'
export type SettingName = NumberField | 'stop'

export const defaultSettings: ChatSettings = {
  model: null,
  maxTokens: '128',
  temperature: '0.8',
  topP: '0.95',
  topK: '0',
  seed: '',
  stop: '',
  localOnly: false,
  patches: [],
  compare: false,
}

export type ReadSettings =
  | { readonly kind: 'request'; readonly request: GenerateRequest }
  | { readonly kind: 'invalid'; readonly fields: ReadonlySet<SettingName | 'prompt'> }

/** What is typed, to a request, or to the fields that do not fit. */
export function readSettings(prompt: string, settings: ChatSettings): ReadSettings {
  const parsed = generateRequestSchema.safeParse({
    model: settings.model,
    prompt,
    maxTokens: toNumber(settings.maxTokens),
    sampling: {
      temperature: toNumber(settings.temperature),
      topP: toNumber(settings.topP),
      topK: toNumber(settings.topK),
      seed: settings.seed.trim() === '' ? null : toNumber(settings.seed),
      stop: settings.stop.split('\n').filter((line) => line !== ''),
    },
    localOnly: settings.localOnly,
    patches: settings.patches,
  })
  if (parsed.success) return { kind: 'request', request: parsed.data }
  const paths = parsed.error.issues.flatMap((issue) => issue.path.map(String))
  return { kind: 'invalid', fields: new Set(paths.filter(isField)) }
}

const fields: ReadonlySet<string> = new Set<SettingName | 'prompt'>([
  'maxTokens',
  'temperature',
  'topP',
  'topK',
  'seed',
  'stop',
  'prompt',
])

function isField(name: string): name is SettingName | 'prompt' {
  return fields.has(name)
}

/** The same text by the model alone. Both need one seed: the node would draw a new one for each. */
export function pairOf(request: GenerateRequest, seed: number): { base: GenerateRequest; patched: GenerateRequest } {
  const sampling = { ...request.sampling, seed: request.sampling.seed ?? seed }
  return { base: { ...request, sampling, patches: [] }, patched: { ...request, sampling } }
}

/** An empty field is not zero. */
function toNumber(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text)
}
