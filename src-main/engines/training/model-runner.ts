/**
 * The whole model over one run: blocks forward one after the other, the head, and blocks backward. Only one block's
 * intermediate values exist at a time; between the passes a block keeps its input, and as far as memory allows what its
 * products with weights made. Where it does not allow that, blocks are computed again (Chen et al. 2016).
 */
import { Tensor } from 'onnxruntime-node'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { type BlockPlan, type ModelScales, planBlocks } from './block-plans.ts'
import { createBlockRunner } from './block-runner.ts'
import { addToEntries, addToRows, lookUpRows } from './embedding.ts'
import type { GradientSums } from './gradient-sums.ts'
import { createHeadRunner } from './head-runner.ts'
import type { ModelWeights } from './model-weights.ts'
import type { PlacedParameter } from './parameters.ts'
import { createPositionCache } from './positions.ts'
import { type Feeds, freeTensor } from './program.ts'
import type { Run } from './runs.ts'

export interface ModelRunnerInit {
  readonly threads: number
  /** How much may be kept of blocks between the passes, besides their inputs. */
  readonly keptBytes: number
  readonly scales: ModelScales
}

export interface ModelRunner {
  /** So many positions at a time keep what they make on the way forward; longer runs make it again. */
  readonly keptPositions: number
  /** -> the loss's sum */
  loss(run: Run, signal: AbortSignal): Promise<number>
  /** Adds the run's gradients to `sums` -> the loss's sum */
  gradients(run: Run, sums: GradientSums, signal: AbortSignal): Promise<number>
  /** (positions that predict,): log p(target) */
  logProbabilities(run: Run, signal: AbortSignal): Promise<Float32Array>
  /** Hands over what the model expects at each position that predicts, (vocabulary,), by its place among them. */
  distributions(
    run: Run,
    take: (place: number, logProbabilities: Float32Array) => void,
    signal: AbortSignal,
  ): Promise<void>
  dispose(): Promise<void>
}

export function createModelRunner(
  config: ModelConfig,
  weights: ModelWeights,
  parameters: readonly PlacedParameter[],
  { threads, keptBytes, scales }: ModelRunnerInit,
): ModelRunner {
  const { hiddenSize } = config
  const runner = createBlockRunner(config, { threads })
  const positionsAt = createPositionCache(config)
  const blocks = planBlocks(config, weights, parameters, scales)
  const ends = parameters.flatMap(({ place }, index) => (place.where === 'end' ? [{ index, ...place.parameter }] : []))
  const head = createHeadRunner(config, weights, ends, { threads })
  const table = weights.tensor(tensorNames.embedding)
  const embedding = ends.find(({ name }) => name === tensorNames.embedding)
  /** The first block whose input or numbers want a gradient. */
  const lowest = embedding ? 0 : blocks.findIndex(({ trained }) => trained.length > 0)
  const backwardFrom = lowest < 0 ? config.blockCount : lowest

  /**
   * The gradient of the lowest block's input is of use only to the embedding. Left out where there are other blocks too, it
   * would take a program of its own, with scratch memory of its own, to save a hundredth of a step.
   */
  const wantsLowestInput = embedding !== undefined || backwardFrom < config.blockCount - 1
  const keptPositions = Math.floor(keptBytes / (4 * keptWidth(config) * Math.max(1, config.blockCount - backwardFrom)))

  /** Blocks from `holdFrom` on are held for the way back, with what they made from `keepFrom` on. */
  async function forward(run: Run, { holdFrom, keep }: { holdFrom: number; keep: boolean }, signal: AbortSignal) {
    const held: HeldBlock[] = []
    const positions = positionsAt(0, run.tokens)
    let x = asBatch(lookUpRows(table, run.ids, hiddenSize), run, hiddenSize)
    for (const [index, { operands }] of blocks.entries()) {
      signal.throwIfAborted()
      const { y, kept } = await runner.forward(operands, { x, ...positions }, { keep: keep && index >= holdFrom })
      if (index >= holdFrom) held.push({ x, kept })
      else freeTensor(x)
      x = y
    }
    signal.throwIfAborted()
    return { held, y: x }
  }

  /** From the gradient of the last block's output; adds to `sums` -> the gradient of the embedding's rows, where wanted */
  async function backward(run: Run, held: HeldBlock[], from: Tensor, sums: GradientSums, signal: AbortSignal) {
    const positions = positionsAt(0, run.tokens)
    let dy: Tensor | undefined = from
    for (let index = config.blockCount - 1; index >= backwardFrom; index--) {
      signal.throwIfAborted()
      const { operands, plan, trained } = blocks[index] as BlockPlan
      const { x, kept } = held.pop() as HeldBlock
      const feeds = { x, outputGradient: dy as Tensor, ...positions, ...plan.feeds }
      const wanted = { ...plan.wanted, input: index > backwardFrom || wantsLowestInput }
      const gradients = await runner.backward(operands, feeds, { kept, wanted })
      const collected = plan.collect(gradients)
      for (const [i, parameter] of trained.entries()) sums.add(parameter, collected[i] as Float32Array)
      for (const tensor of [x, dy as Tensor, ...Object.values(kept)]) freeTensor(tensor)
      dy = gradients.input
    }
    return dy
  }

  function addEmbedding(run: Run, inputGradient: Tensor | undefined, sums: GradientSums): void {
    if (embedding && inputGradient) {
      const [sum, values] = [sums.at(embedding.index), inputGradient.data as Float32Array]
      if (embedding.indices) addToEntries(sum, embedding.indices, run.ids, values, hiddenSize)
      else addToRows(sum, run.ids, values, hiddenSize)
    }
    if (inputGradient) freeTensor(inputGradient)
  }

  /** Forward through all blocks, then `use` of what they gave. */
  async function forwardOnly<T>(run: Run, use: (hidden: Float32Array) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { y } = await forward(run, { holdFrom: config.blockCount, keep: false }, signal)
    const result = await use(y.data as Float32Array)
    freeTensor(y)
    return result
  }

  return {
    keptPositions,
    loss: (run, signal) => forwardOnly(run, async (hidden) => (await head.loss(run, hidden, signal)).lossSum, signal),
    logProbabilities: (run, signal) => forwardOnly(run, (hidden) => head.logProbabilities(run, hidden, signal), signal),
    distributions: (run, take, signal) =>
      forwardOnly(run, (hidden) => head.distributions(run, hidden, take, signal), signal),

    async gradients(run, sums, signal) {
      const how = { holdFrom: backwardFrom, keep: run.ids.length <= keptPositions }
      const { held, y } = await forward(run, how, signal)
      const collect = (end: number, values: Float32Array) => sums.add(ends[end]?.index as number, values)
      const input = backwardFrom < config.blockCount
      const { lossSum, inputGradient } = await head.backward(run, y.data as Float32Array, { input, collect }, signal)
      freeTensor(y)
      if (!inputGradient) return lossSum
      const dx = await backward(run, held, asBatch(inputGradient, run, hiddenSize), sums, signal)
      addEmbedding(run, dx, sums)
      return lossSum
    },

    async dispose() {
      await Promise.all([runner.dispose(), head.dispose()])
    },
  }
}

/** What waits for the way back: a block's input, and perhaps what its products with weights made. */
interface HeldBlock {
  readonly x: Tensor
  readonly kept: Feeds
}

/**
 * Float32 numbers that a block keeps of one position: what its products with weights made, and what attention did. Trained
 * scales add a little.
 */
export function keptWidth(config: ModelConfig): number {
  const { hiddenSize, headCount, kvHeadCount, headSize, intermediateSize, queryKeyNorm } = config
  const attention = 2 * headCount * headSize + 2 * kvHeadCount * headSize
  const normed = queryKeyNorm ? (headCount + kvHeadCount) * headSize : 0
  return attention + normed + hiddenSize + 2 * intermediateSize
}

function asBatch(values: Float32Array, { sequences, tokens }: Run, width: number): Tensor {
  return new Tensor('float32', values, [sequences, tokens, width])
}
