/**
 * The whole model over one run: blocks forward one after the other, the head, and blocks backward. Only one block's
 * intermediate values exist at a time; between the passes a block keeps its input, and as far as memory allows what its
 * products with weights made. Where it does not allow that, blocks are computed again (Chen et al. 2016).
 */
import { Tensor } from 'onnxruntime-node'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { type BlockPlan, planBlocks, type ScaleVectors } from './block-plans.ts'
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
  /** (IA)³ vectors that are trained, by block; they are read at every run. */
  readonly scales: readonly ScaleVectors[]
}

export interface ModelRunner {
  /** -> the loss's sum */
  loss(run: Run, signal: AbortSignal): Promise<number>
  /** Adds the run's gradients to `sums` -> the loss's sum */
  gradients(run: Run, sums: GradientSums, signal: AbortSignal): Promise<number>
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

  /** From the gradient of the last block's output; adds to `sums` -> the gradient of the first held block's input */
  async function backward(run: Run, held: HeldBlock[], from: Tensor, sums: GradientSums, signal: AbortSignal) {
    const positions = positionsAt(0, run.tokens)
    let dy = from
    for (let index = config.blockCount - 1; index >= backwardFrom; index--) {
      signal.throwIfAborted()
      const { operands, plan, trained } = blocks[index] as BlockPlan
      const { x, kept } = held.pop() as HeldBlock
      const feeds = { x, outputGradient: dy, ...positions, ...plan.feeds }
      const gradients = await runner.backward(operands, feeds, { kept, wanted: plan.wanted })
      for (const [i, values] of plan.collect(gradients).entries()) sums.add(trained[i] as number, values)
      for (const tensor of [x, dy, ...Object.values(kept)]) freeTensor(tensor)
      dy = gradients.input
    }
    return dy
  }

  function addEmbedding(run: Run, inputGradient: Tensor, sums: GradientSums): void {
    if (!embedding) return
    const [sum, values] = [sums.at(embedding.index), inputGradient.data as Float32Array]
    if (embedding.indices) addToEntries(sum, embedding.indices, run.ids, values, hiddenSize)
    else addToRows(sum, run.ids, values, hiddenSize)
    freeTensor(inputGradient)
  }

  return {
    async loss(run, signal) {
      const { y } = await forward(run, { holdFrom: config.blockCount, keep: false }, signal)
      const { lossSum } = await head.loss(run, y.data as Float32Array, signal)
      freeTensor(y)
      return lossSum
    },

    async gradients(run, sums, signal) {
      const bytesToKeep = 4 * run.ids.length * keptWidth(config) * (config.blockCount - backwardFrom)
      const how = { holdFrom: backwardFrom, keep: bytesToKeep <= keptBytes }
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

/** Float32 numbers that a block keeps of one position: what its products with weights made, and what attention did. */
export function keptWidth({ hiddenSize, headCount, kvHeadCount, headSize, intermediateSize }: ModelConfig): number {
  return 2 * headCount * headSize + 2 * kvHeadCount * headSize + hiddenSize + 2 * intermediateSize
}

function asBatch(values: Float32Array, { sequences, tokens }: Run, width: number): Tensor {
  return new Tensor('float32', values, [sequences, tokens, width])
}
