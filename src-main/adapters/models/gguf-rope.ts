/**
 * Scaled rotary positions as GGUF has them. Plain scaling is metadata. Llama 3's is not: the converter computes a divisor
 * for each pair of a head and stores the numbers (`rope_freqs.weight`). We keep formulas, so the formula is found again:
 * only the ratios of the original context length to the two frequency factors matter, the factors are 1 and 4 in every
 * published model, and the lowest frequency has the whole divisor. What fits no formula is refused, never approximated.
 */
import type { RopeScaling } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { rotaryFrequencies } from '#core/numerics/rope.ts'
import type { GgufFields } from './gguf-fields.ts'

export interface RopeShape {
  readonly headSize: number
  readonly ropeTheta: number
}

/** Scaling as the metadata under `<architecture>.rope` say it. */
export function ropeScalingOfMetadata(fields: GgufFields, architecture: string): RopeScaling | undefined {
  const key = `${architecture}.rope.scaling`
  const type = fields.text(`${key}.type`) ?? 'linear'
  if (type === 'none') return undefined
  if (type !== 'linear') throw new ModelUnsupportedError(`rope scaling ${type.slice(0, 64)}`)
  const factor = fields.number(`${key}.factor`) ?? fields.number(`${architecture}.rope.scale_linear`) ?? 1
  // llama.cpp reads 0 as "not scaled".
  return factor === 0 || factor === 1 ? undefined : { kind: 'linear', factor }
}

const originalContextLengths = [8192, 2048, 4096, 16_384, 32_768, 65_536, 131_072] as const

/** The converter computes in float32: its divisors are off by less than a millionth. */
const tolerance = 1e-5

/**
 * The scaling whose divisors these are. Throws `ModelUnsupportedError` when no formula gives them.
 * divisors: (headSize / 2,); `stated` is the original context length where the file says it.
 */
export function ropeScalingOfDivisors(
  divisors: Float32Array,
  shape: RopeShape,
  stated?: number,
): RopeScaling | undefined {
  if (divisors.length !== shape.headSize / 2) {
    const what = `${divisors.length} divisors, a head has ${shape.headSize / 2} pairs`
    throw new ModelFormatError('tensor rope_freqs.weight', what)
  }
  if (divisors.some((divisor) => !(divisor > 0 && divisor <= 1024))) {
    throw new ModelFormatError('tensor rope_freqs.weight', 'a divisor is not a number above 0 and up to 1024')
  }
  const factor = divisors.at(-1) ?? 1
  if (divisors.every((divisor) => divisor === factor)) return factor === 1 ? undefined : { kind: 'linear', factor }
  const lengths = stated === undefined ? originalContextLengths : [stated, ...originalContextLengths]
  const scaling = lengths.map((length) => llama3Scaling(factor, length)).find((each) => fits(divisors, shape, each))
  if (scaling !== undefined) return scaling
  throw new ModelUnsupportedError('rope_freqs.weight with divisors that are not those of Llama 3’s scaling')
}

function llama3Scaling(factor: number, originalContextLength: number): RopeScaling {
  return { kind: 'llama3', factor, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength }
}

function fits(divisors: Float32Array, shape: RopeShape, ropeScaling: RopeScaling): boolean {
  const plain = rotaryFrequencies(shape)
  const scaled = rotaryFrequencies({ ...shape, ropeScaling })
  return divisors.every((divisor, i) => {
    const wanted = (plain[i] ?? 0) / (scaled[i] ?? 0)
    return Math.abs(divisor - wanted) <= tolerance * wanted
  })
}
