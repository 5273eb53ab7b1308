/**
 * Gradients through one block at a time, on float32 weights that the caller lends for the length of a call: how a span of
 * quantised blocks goes backward, each block turned into floats when its turn comes, in memory used again for the next.
 */
import { Tensor } from 'onnxruntime-node'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { type ByBlockTensor, blockShapes } from '#core/numerics/block.ts'
import type { ScaleTarget } from '#core/ports/engine.ts'
import { type BlockParameter, floats, planBlockParameters } from './block-parameters.ts'
import { type BlockOperands, createBlockRunner } from './block-runner.ts'
import { createPositionCache } from './positions.ts'
import type { Feeds } from './program.ts'
import type { ScaleVectors } from './standing-patches.ts'

/** Keys and values of earlier positions, (length, kvHeads * headSize), keys already turned. Constants here. */
export interface PastKeyValues {
  readonly length: number
  readonly keys: Float32Array
  readonly values: Float32Array
}

export interface BlockContext {
  readonly past?: PastKeyValues
  /** (IA)³ vectors; all ones where left out. */
  readonly scales?: ScaleVectors
}

export interface BlockBackward {
  /** `x` (tokens, hidden), after the past's positions. New keys are turned: (tokens, kvHeads * headSize). */
  forward(
    weights: ByBlockTensor<Float32Array>,
    x: Float32Array,
    context?: BlockContext,
  ): Promise<{ readonly y: Float32Array; readonly newKeys: Float32Array; readonly newValues: Float32Array }>
  /** `dy` (tokens, hidden) -> `dx` of the same shape, and one gradient for each of `wanted`, in their order. */
  backward(
    weights: ByBlockTensor<Float32Array>,
    x: Float32Array,
    dy: Float32Array,
    context?: BlockContext & { readonly wanted?: readonly BlockParameter[] },
  ): Promise<{ readonly dx: Float32Array; readonly gradients: readonly Float32Array[] }>
  dispose(): Promise<void>
}

export function createBlockBackward(config: ModelConfig, { threads }: { readonly threads: number }): BlockBackward {
  const runner = createBlockRunner(config, { threads })
  const positions = createPositionCache(config)
  const feedsOf = (x: Float32Array, past: PastKeyValues | undefined) => ({
    x: sequence(x, config.hiddenSize),
    ...positions(past?.length ?? 0, x.length / config.hiddenSize),
  })
  return {
    async forward(weights, x, context = {}) {
      const own = operandsOf(config, weights, context)
      const { y, keys, values } = await runner.forward(own, feedsOf(x, context.past), { keep: false, cache: true })
      return { y: floats(y), newKeys: floats(keys), newValues: floats(values) }
    },
    async backward(weights, x, dy, { wanted = [], ...context } = {}) {
      const plan = planBlockParameters(config, wanted)
      const own = operandsOf(config, weights, withWantedScales(config, context, plan.wanted.scales))
      const feeds = { ...feedsOf(x, context.past), ...plan.feeds, outputGradient: sequence(dy, config.hiddenSize) }
      const gradients = await runner.backward(own, feeds, { kept: {}, wanted: { ...plan.wanted, input: true } })
      return { dx: floats(gradients.input), gradients: plan.collect(gradients) }
    },
    dispose: runner.dispose,
  }
}

function operandsOf(
  config: ModelConfig,
  weights: ByBlockTensor<Float32Array>,
  { past, scales = {} }: BlockContext,
): BlockOperands {
  const targets = Object.keys(scales) as ScaleTarget[]
  const kvWidth = config.kvHeadCount * config.headSize
  return {
    feeds: {
      ...weightFeeds(config, weights),
      ...scaleFeeds(scales),
      ...(past && { pastKeys: sequence(past.keys, kvWidth), pastValues: sequence(past.values, kvWidth) }),
    },
    scales: targets.sort(),
    standing: [],
    past: past !== undefined && past.length > 0,
  }
}

/** The weights by role, as they lie in memory. */
export function weightFeeds(config: ModelConfig, weights: ByBlockTensor<Float32Array>): Feeds {
  const shapes = Object.entries(blockShapes(config)) as [keyof typeof weights, readonly number[]][]
  return Object.fromEntries(
    shapes.map(([role, shape]) => [role, new Tensor('float32', weights[role] as Float32Array, shape)]),
  )
}

/** `scale.<target>`, or `standing.<target>`, for each vector. */
export function scaleFeeds(scales: ScaleVectors, kind: 'scale' | 'standing' = 'scale'): Feeds {
  const entries = Object.entries(scales).map(([target, values]) => [
    `${kind}.${target}`,
    new Tensor('float32', values, [values.length]),
  ])
  return Object.fromEntries(entries)
}

/** How long an (IA)³ vector is. */
export function scaleLength(config: ModelConfig, target: ScaleTarget): number {
  return target === 'feedForward' ? config.intermediateSize : config.kvHeadCount * config.headSize
}

/** A vector that is wanted but not given is all ones. */
function withWantedScales(config: ModelConfig, context: BlockContext, wanted: readonly ScaleTarget[]): BlockContext {
  const ones = wanted.map((target) => [target, new Float32Array(scaleLength(config, target)).fill(1)])
  return { ...context, scales: { ...Object.fromEntries(ones), ...context.scales } }
}

/** (rows, width) as a batch of one. */
function sequence(values: Float32Array, width: number): Tensor {
  return new Tensor('float32', values, [1, values.length / width, width])
}
