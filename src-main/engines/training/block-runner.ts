/**
 * Runs blocks forward and backward. All blocks of a model are alike and weights are inputs, so a handful of programs serves
 * them all: one a combination of features and wanted gradients.
 */
import type { Tensor } from 'onnxruntime-node'
import type { BlockTensorRole, ModelConfig } from '#contracts/model/manifest.ts'
import type { ScaleTarget } from '#core/ports/engine.ts'
import { type BlockFeatures, type BlockGraph, buildBlockGraph } from './block-graph.ts'
import type { Value } from './graph.ts'
import { createPrograms, type Feeds } from './program.ts'

/** Weights by role, scales, entries: everything of a block that does not change from batch to batch. */
export interface BlockOperands {
  readonly feeds: Feeds
  readonly scales: readonly ScaleTarget[]
  readonly standing: readonly ScaleTarget[]
  /** Whether `feeds` holds keys and values of earlier positions. */
  readonly past: boolean
}

export interface WantedGradients {
  /** Of the block's input. */
  readonly input: boolean
  /** Whole tensors. */
  readonly tensors: readonly BlockTensorRole[]
  /** Matrices at the entries given in the operands' feeds. */
  readonly masked: readonly BlockTensorRole[]
  readonly scales: readonly ScaleTarget[]
}

export interface ForwardResult {
  readonly y: Tensor
  readonly keys?: Tensor
  readonly values?: Tensor
  /** For `backward`; empty unless asked for. */
  readonly kept: Feeds
}

export interface BackwardGradients {
  /** Absent unless wanted. */
  readonly input?: Tensor
  readonly tensors: Readonly<Partial<Record<BlockTensorRole, Tensor>>>
  readonly scales: Readonly<Partial<Record<ScaleTarget, Tensor>>>
}

export interface BlockRunner {
  /** `feeds`: `x` and the positions' (`positionFeeds`). */
  forward(
    operands: BlockOperands,
    feeds: Feeds,
    options: { readonly keep: boolean; readonly cache?: boolean },
  ): Promise<ForwardResult>
  /** `feeds` as `forward` had them, and `outputGradient`. What was not kept is computed again. */
  backward(
    operands: BlockOperands,
    feeds: Feeds,
    options: { readonly kept: Feeds; readonly wanted: WantedGradients },
  ): Promise<BackwardGradients>
  dispose(): Promise<void>
}

export function createBlockRunner(config: ModelConfig, { threads }: { readonly threads: number }): BlockRunner {
  const programs = createPrograms(threads)
  const graphs = new Map<string, BlockGraph>()
  function graphOf(features: BlockFeatures): BlockGraph {
    const key = JSON.stringify(features)
    const graph = graphs.get(key) ?? buildBlockGraph(config, features)
    graphs.set(key, graph)
    return graph
  }
  return {
    async forward({ feeds: own, past, scales, standing }, feeds, { keep, cache = false }) {
      const block = graphOf({ past, scales, standing, masked: [] })
      const wanted = [block.y, ...(cache ? [block.keys, block.values] : []), ...(keep ? block.kept : [])]
      const returnsScratch = hasManyScores(config, feeds)
      const key = JSON.stringify(['forward', past, scales, standing, keep, cache, returnsScratch])
      const describe = () => ({ graph: block.graph, wanted: unique(wanted), returnsScratch })
      const program = await programs.get(key, describe)
      const results = await program.run({ ...own, ...feeds })
      return {
        y: tensorAt(results, block.y),
        ...(cache && { keys: tensorAt(results, block.keys), values: tensorAt(results, block.values) }),
        kept: keep ? pick(results, block.kept) : {},
      }
    },
    async backward({ feeds: own, past, scales, standing }, feeds, { kept, wanted }) {
      const block = graphOf({ past, scales, standing, masked: wanted.masked })
      const outputs = wantedValues(block, wanted)
      const given = Object.keys(kept).length > 0 ? block.kept : []
      const returnsScratch = hasManyScores(config, feeds)
      const key = JSON.stringify(['backward', past, scales, standing, given.length, wanted, returnsScratch])
      const describe = () => ({ graph: block.graph, given, wanted: outputs.all, returnsScratch })
      const program = await programs.get(key, describe)
      const results = await program.run({ ...own, ...feeds, ...kept })
      return {
        ...(wanted.input && { input: tensorAt(results, block.inputGradient) }),
        tensors: mapValues(outputs.tensors, (value) => tensorAt(results, value)),
        scales: mapValues(outputs.scales, (value) => tensorAt(results, value)),
      }
    },
    dispose: programs.dispose,
  }
}

/** Attention scores grow with the square of the length; 64 MiB of them are not worth holding on to. */
function hasManyScores({ kvHeadCount }: ModelConfig, { x, mask }: Feeds): boolean {
  return 4 * kvHeadCount * (x?.dims[0] ?? 0) * (mask?.size ?? 0) > 1 << 26
}

function wantedValues(block: BlockGraph, wanted: WantedGradients) {
  const tensors = Object.fromEntries(
    [...wanted.tensors, ...wanted.masked].map((role) => [role, block.tensorGradients[role] as Value]),
  )
  const scales = Object.fromEntries(wanted.scales.map((target) => [target, block.scaleGradients[target] as Value]))
  const all = [...(wanted.input ? [block.inputGradient] : []), ...Object.values(tensors), ...Object.values(scales)]
  return { tensors, scales, all }
}

function tensorAt(results: Readonly<Record<string, Tensor>>, value: Value): Tensor {
  return results[value] as Tensor
}

function pick(results: Readonly<Record<string, Tensor>>, values: readonly Value[]): Feeds {
  return Object.fromEntries(values.map((value) => [value, tensorAt(results, value)]))
}

function mapValues(values: Readonly<Record<string, Value>>, map: (value: Value) => Tensor): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(value)]))
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)]
}
