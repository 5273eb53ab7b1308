/**
 * How a Hugging Face config says that rotary positions are scaled: `rope_scaling` beside `rope_theta` in older files,
 * `rope_parameters` with both in newer ones, and the kind as `type` or `rope_type`. A kind that is not computed here is
 * refused by name: with other angles a model answers fluently and wrongly.
 */
import * as z from 'zod'
import type { RopeScaling } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'

const number = z.number().nullish()
const word = z.string().max(64).nullish()

const ropeSchema = z.looseObject({
  rope_type: word,
  type: word,
  rope_theta: z.number().positive().nullish(),
  partial_rotary_factor: number,
  factor: number,
  low_freq_factor: number,
  high_freq_factor: number,
  original_max_position_embeddings: number,
})
type RawRope = z.infer<typeof ropeSchema>

export const ropeFieldsSchema = z.looseObject({
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  rope_theta: z.number().positive().nullish(),
  partial_rotary_factor: number,
})
export type RopeFields = z.infer<typeof ropeFieldsSchema>

export interface ParsedRope {
  readonly ropeTheta: number
  readonly ropeScaling?: RopeScaling
}

/** Pure. Throws `ModelUnsupportedError` for what is not computed, `ModelFormatError` for what does not fit together. */
export function parseRope(raw: RopeFields): ParsedRope {
  const ropes = [raw.rope_scaling, raw.rope_parameters].filter((rope) => rope !== null && rope !== undefined)
  expectWholeHeads([raw, ...ropes])
  const ropeTheta = agreed('rope_theta', [raw.rope_theta, ...ropes.map((rope) => rope.rope_theta)]) ?? 10_000
  const scalings = ropes.map(toScaling).filter((scaling) => scaling !== null)
  const [ropeScaling, another] = scalings
  if (another !== undefined && JSON.stringify(another) !== JSON.stringify(ropeScaling)) {
    throw new ModelFormatError('config.json', 'rope_scaling and rope_parameters contradict each other')
  }
  return { ropeTheta, ...(ropeScaling !== undefined && { ropeScaling }) }
}

/** Null when nothing is scaled. */
function toScaling(rope: RawRope): RopeScaling | null {
  if ('full_attention' in rope || 'sliding_attention' in rope)
    throw new ModelUnsupportedError('rope_parameters by layer')
  const kinds = new Set([rope.rope_type, rope.type].filter((kind) => kind !== null && kind !== undefined))
  const kind = [...kinds].join(' and ') || 'default'
  switch (kind) {
    case 'default':
      return null
    case 'linear':
      return { kind, factor: neededNumber(rope, kind, 'factor') }
    case 'llama3':
      return {
        kind,
        factor: neededNumber(rope, kind, 'factor'),
        lowFrequencyFactor: neededNumber(rope, kind, 'low_freq_factor'),
        highFrequencyFactor: neededNumber(rope, kind, 'high_freq_factor'),
        originalContextLength: neededNumber(rope, kind, 'original_max_position_embeddings'),
      }
    default:
      throw new ModelUnsupportedError(`rope_scaling ${kind}`)
  }
}

type NumberField = 'factor' | 'low_freq_factor' | 'high_freq_factor' | 'original_max_position_embeddings'

function neededNumber(rope: RawRope, kind: string, field: NumberField): number {
  const value = rope[field]
  if (typeof value !== 'number')
    throw new ModelFormatError(`config.json rope_scaling.${field}`, `${kind} needs a number`)
  return value
}

function expectWholeHeads(places: readonly { readonly partial_rotary_factor?: number | null | undefined }[]): void {
  if (places.some(({ partial_rotary_factor: factor }) => (factor ?? 1) !== 1)) {
    throw new ModelUnsupportedError('partial_rotary_factor')
  }
}

/** What all those that say something say. */
function agreed(what: string, values: readonly (number | null | undefined)[]): number | undefined {
  const [value, another] = new Set(values.filter((given) => given !== null && given !== undefined))
  if (another !== undefined) throw new ModelFormatError(`config.json ${what}`, `both ${value} and ${another}`)
  return value
}
