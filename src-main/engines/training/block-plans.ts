/** What each block of a model is run with, and which of the trained parameters are its own. */
import type { BlockTensorRole, ModelConfig } from '#contracts/model/manifest.ts'
import type { ScaleTarget } from '#core/ports/engine.ts'
import { scaleFeeds, weightFeeds } from './block-backward.ts'
import { type BlockParameter, type BlockParameterPlan, planBlockParameters } from './block-parameters.ts'
import type { BlockOperands } from './block-runner.ts'
import type { ModelWeights } from './model-weights.ts'
import type { PlacedParameter } from './parameters.ts'
import type { ScaleVectors } from './standing-patches.ts'

/** (IA)³ vectors by block. */
export interface ModelScales {
  /** They are read at every run. */
  readonly trained: readonly ScaleVectors[]
  readonly standing: readonly ScaleVectors[]
}

export interface BlockPlan {
  readonly operands: BlockOperands
  readonly plan: BlockParameterPlan
  /** The places among all of the plan's first parameters; what the plan has more of is there to make blocks alike. */
  readonly trained: readonly number[]
}

export function planBlocks(
  config: ModelConfig,
  weights: ModelWeights,
  parameters: readonly PlacedParameter[],
  scales: ModelScales,
): BlockPlan[] {
  const masked = maskedRoles(parameters)
  return Array.from({ length: config.blockCount }, (_, block) => {
    const own = parameters.flatMap(({ place }, index) =>
      place.where === 'block' && place.block === block ? [{ index, parameter: place.parameter }] : [],
    )
    const ownParameters = own.map(({ parameter }) => parameter)
    const [vectors, standing] = [scales.trained[block] ?? {}, scales.standing[block] ?? {}]
    const scaled = { ...scaleFeeds(vectors), ...scaleFeeds(standing, 'standing') }
    return {
      operands: {
        feeds: { ...weightFeeds(config, weights.block(block)), ...scaled },
        scales: targetsOf(vectors),
        standing: targetsOf(standing),
        past: false,
      },
      plan: planBlockParameters(config, [...ownParameters, ...missingMasks(ownParameters, masked)]),
      trained: own.map(({ index }) => index),
    }
  })
}

/** Matrices of which some block trains entries. */
function maskedRoles(parameters: readonly PlacedParameter[]): ReadonlySet<BlockTensorRole> {
  const roles = parameters.flatMap(({ place }) =>
    place.where === 'block' && place.parameter.kind === 'entries' ? [place.parameter.role] : [],
  )
  return new Set(roles)
}

/**
 * Masks of no entries for what other blocks have masks of. A chosen mask leaves out this matrix here and that one there; a
 * program for each combination would cost tens of megabytes of scratch memory, an empty mask costs next to nothing.
 */
function missingMasks(own: readonly BlockParameter[], masked: ReadonlySet<BlockTensorRole>): BlockParameter[] {
  if (!own.some(({ kind }) => kind === 'entries')) return []
  const asked = new Set(own.flatMap((parameter) => (parameter.kind === 'scale' ? [] : [parameter.role])))
  const missing = [...masked].filter((role) => !asked.has(role))
  return missing.map((role) => ({ kind: 'entries', role, indices: new Uint32Array() }))
}

function targetsOf(vectors: ScaleVectors): ScaleTarget[] {
  return (Object.keys(vectors) as ScaleTarget[]).sort()
}
