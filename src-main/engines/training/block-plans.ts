/** What each block of a model is run with, and which of the trained parameters are its own. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { ScaleTarget } from '#core/ports/engine.ts'
import { scaleFeeds, weightFeeds } from './block-backward.ts'
import { type BlockParameterPlan, planBlockParameters } from './block-parameters.ts'
import type { BlockOperands } from './block-runner.ts'
import type { ModelWeights } from './model-weights.ts'
import type { PlacedParameter } from './parameters.ts'

/** (IA)³ vectors of one block, those that are trained. */
export type ScaleVectors = Readonly<Partial<Record<ScaleTarget, Float32Array>>>

export interface BlockPlan {
  readonly operands: BlockOperands
  readonly plan: BlockParameterPlan
  /** The places of the plan's parameters among all. */
  readonly trained: readonly number[]
}

export function planBlocks(
  config: ModelConfig,
  weights: ModelWeights,
  parameters: readonly PlacedParameter[],
  scales: readonly ScaleVectors[],
): BlockPlan[] {
  return Array.from({ length: config.blockCount }, (_, block) => {
    const own = parameters.flatMap(({ place }, index) =>
      place.where === 'block' && place.block === block ? [{ index, parameter: place.parameter }] : [],
    )
    const vectors = scales[block] ?? {}
    const feeds = { ...weightFeeds(config, weights.block(block)), ...scaleFeeds(vectors) }
    const targets = Object.keys(vectors) as ScaleTarget[]
    return {
      operands: { feeds, scales: targets.sort(), past: false },
      plan: planBlockParameters(
        config,
        own.map(({ parameter }) => parameter),
      ),
      trained: own.map(({ index }) => index),
    }
  })
}
