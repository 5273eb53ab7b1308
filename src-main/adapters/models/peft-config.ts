/**
 * `adapter_config.json` of PEFT, in our words: which kind of adapter, and by what its numbers are multiplied. Whatever would
 * change the numbers and has no place in a patch is refused by name. Defaults are those of PEFT's configuration classes.
 */
import * as z from 'zod'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { parseBoundedJson } from './bounded-json.ts'

export const adapterConfigFile = 'adapter_config.json'
export const maximumAdapterConfigBytes = 4 << 20

const modules = z.union([z.string().max(4096), z.array(z.string().max(256)).max(20_000)]).nullish()
/** Module names, or the ends of such, with a number each. As regular expressions they mean themselves. */
const pattern = z.record(z.string().regex(/^[A-Za-z0-9_.]{1,256}$/, 'not a plain module name'), z.number()).nullish()

const commonFields = {
  base_model_name_or_path: z.string().max(1024).nullish(),
  modules_to_save: z.array(z.string().max(256)).max(20_000).nullish(),
  target_modules: modules,
  fan_in_fan_out: z.boolean().nullish(),
}

const ia3Schema = z.looseObject({ ...commonFields, feedforward_modules: modules })

const loraSchema = z.looseObject({
  ...commonFields,
  r: z.int().min(1).max(65_536).default(8),
  lora_alpha: z.number().default(8),
  lora_dropout: z.number().min(0).max(1).nullish(),
  use_rslora: z.boolean().nullish(),
  use_dora: z.boolean().nullish(),
  use_qalora: z.boolean().nullish(),
  bias: z.string().max(64).nullish(),
  lora_bias: z.boolean().nullish(),
  init_lora_weights: z.union([z.boolean(), z.string().max(64)]).nullish(),
  rank_pattern: pattern,
  alpha_pattern: pattern,
  layer_replication: z.array(z.unknown()).nullish(),
  trainable_token_indices: z.unknown().optional(),
  target_parameters: z.array(z.unknown()).nullish(),
  alora_invocation_tokens: z.array(z.unknown()).nullish(),
})
type LoraConfig = z.infer<typeof loraSchema>

const kindSchema = z.looseObject({ peft_type: z.string().max(64) })

export type AdapterConfig =
  | { readonly method: 'ia3'; readonly baseName: string | null }
  | {
      readonly method: 'lora'
      readonly baseName: string | null
      readonly dropout: number
      /** What the product of the factors of `module` is multiplied by; `rank` as its tensors have it. */
      readonly scaling: (module: string, rank: number) => number
    }

/** Pure. Throws `ModelFormatError` or `ModelUnsupportedError`. */
export function parseAdapterConfig(bytes: Uint8Array): AdapterConfig {
  const json = parseJson(bytes)
  const { peft_type: kind } = checked(kindSchema, json)
  switch (kind) {
    case 'IA3': {
      const raw = checked(ia3Schema, json)
      refuseCommon(raw)
      return { method: 'ia3', baseName: raw.base_model_name_or_path ?? null }
    }
    case 'LORA': {
      const raw = checked(loraSchema, json)
      refuseCommon(raw)
      refuseLora(raw)
      const baseName = raw.base_model_name_or_path ?? null
      return { method: 'lora', baseName, dropout: raw.lora_dropout ?? 0, scaling: scalingOf(raw) }
    }
    default:
      throw new ModelUnsupportedError(`PEFT adapters of the kind ${kind}`)
  }
}

function refuseCommon(raw: Pick<LoraConfig, 'modules_to_save' | 'fan_in_fan_out'>): void {
  if (raw.modules_to_save?.length) refuse('modules_to_save', raw.modules_to_save.join(', '))
  if (raw.fan_in_fan_out) refuse('fan_in_fan_out', 'true')
}

function refuseLora(raw: LoraConfig): void {
  if (raw.use_dora) refuse('use_dora', 'true')
  if (raw.use_qalora) refuse('use_qalora', 'true')
  if (raw.lora_bias) refuse('lora_bias', 'true')
  if ((raw.bias ?? 'none') !== 'none') refuse('bias', String(raw.bias))
  for (const list of ['layer_replication', 'target_parameters', 'alora_invocation_tokens'] as const) {
    if (raw[list]?.length) refuse(list, 'set')
  }
  if (raw.trainable_token_indices !== undefined && raw.trainable_token_indices !== null) {
    refuse('trainable_token_indices', 'set')
  }
  const start = String(raw.init_lora_weights ?? true)
  // These change the base's weights too before they begin, and the file holds but half of the story.
  if (/^(pissa|olora|corda|loftq)/.test(start)) refuse('init_lora_weights', start)
}

/** Hu et al. 2022, §4.1: alpha / r; Kalajdzievski 2023 (rsLoRA): alpha / sqrt(r). */
function scalingOf(raw: LoraConfig): (module: string, rank: number) => number {
  return (module, rank) => {
    const expected = patternOf(raw.rank_pattern, module) ?? raw.r
    if (expected !== rank) {
      throw new ModelFormatError(`${adapterConfigFile}: ${module}`, `rank ${expected}, its tensors have ${rank}`)
    }
    const alpha = patternOf(raw.alpha_pattern, module) ?? raw.lora_alpha
    return raw.use_rslora ? alpha / Math.sqrt(rank) : alpha / rank
  }
}

/** The first name in the file's order that is the module's, or the end of it. */
function patternOf(pattern: Readonly<Record<string, number>> | null | undefined, module: string): number | undefined {
  const name = Object.keys(pattern ?? {}).find((key) => module === key || module.endsWith(`.${key}`))
  return name === undefined ? undefined : pattern?.[name]
}

function refuse(what: string, value: string): never {
  throw new ModelUnsupportedError(`PEFT adapters with ${what} ${value.slice(0, 256)}`)
}

function checked<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new ModelFormatError(
    `${adapterConfigFile} ${issue?.path.map(String).join('.').slice(0, 300)}`.trimEnd(),
    issue?.message ?? 'malformed',
  )
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return parseBoundedJson(bytes, { depth: 8, values: 200_000 })
  } catch (cause) {
    throw new ModelFormatError(adapterConfigFile, cause instanceof Error ? cause.message : 'not JSON', { cause })
  }
}
