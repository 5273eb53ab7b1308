/** What a run will take of memory and disk, and how large its patch will be. */
import type { RunPlan, TrainRequest } from '#contracts/api/training.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { DataCard, MaskChoice } from '#contracts/patch-file/header.ts'
import { encodedValueBytes } from '#contracts/patch-file/value-codec.ts'
import { elementCount } from '../models/expected-tensors.ts'
import { maskCandidates, modelParameterCount } from './mask.ts'
import { countTrained, type TrainedSizes } from './plan-sizes.ts'

const float32Bytes = 4

/** Process, runtime and what a graph's arena rounds up. */
const runtimeBytes = 256 * 1024 ** 2
/** The training engine keeps blocks' activations up to half of the weights, or this. */
const leastKeptBytes = 64 * 1024 ** 2
/** Positions that the engine computes at once. */
const positionsPerRun = 1024
/** Sums and gradients of a run and two moments where it is computed; base, and what a checkpoint holds, three times, beside. */
const floatsPerTrained = 4 + 1 + 3 * 4
/** Gradient and squares where it is computed; sums and a call's answer beside. */
const floatsPerScored = 4
/** Gradient, sums and two moments where it is computed; Fisher information, values before and after, and scores beside. */
const floatsPerTried = 8

/**
 * The most that is held at one time, over both processes: while scores are measured, or while the chosen numbers are trained.
 * `scoredFor`: the choice that scores are measured for; null for a mask without.
 */
export function predictMemory(
  config: ModelConfig,
  sizes: TrainedSizes,
  { batchSize, sequenceLength }: RunPlan['hyperParameters'],
  scoredFor: MaskChoice | null,
): number {
  const weights = modelParameterCount(config) * float32Bytes
  const scored =
    scoredFor === null ? 0 : maskCandidates(scoredFor, config).reduce((sum, { shape }) => sum + elementCount(shape), 0)
  const positions = Math.min(batchSize * sequenceLength, Math.max(positionsPerRun, sequenceLength))
  const floatsHeld = (scoredFor?.fisher?.trialSteps ?? 0) > 0 ? floatsPerTried : floatsPerScored
  const held = Math.max(countTrained(sizes) * floatsPerTrained, scored * floatsHeld) * float32Bytes
  return Math.ceil(
    runtimeBytes +
      weights +
      keptBytes(config, positions, weights) +
      workingBytes(config, positions, sequenceLength) +
      held,
  )
}

/** What products with weights made in each block, and each block's input, between forward and backward. */
function keptBytes(config: ModelConfig, positions: number, weights: number): number {
  const wanted = config.blockCount * positions * activationsPerPosition(config) * float32Bytes
  const inputs = config.blockCount * positions * config.hiddenSize * float32Bytes
  return wanted <= Math.max(leastKeptBytes, weights / 2) ? wanted : inputs
}

/** One block forward and backward, with attention's scores; or the head with its logits, twice. */
function workingBytes(config: ModelConfig, positions: number, sequenceLength: number): number {
  const block = 2 * positions * (activationsPerPosition(config) + 2 * config.headCount * sequenceLength)
  const head = 3 * positions * config.vocabularySize
  return Math.max(block, head) * float32Bytes
}

function activationsPerPosition({
  hiddenSize,
  intermediateSize,
  headCount,
  kvHeadCount,
  headSize,
}: ModelConfig): number {
  return 4 * hiddenSize + 2 * (headCount + kvHeadCount) * headSize + 4 * intermediateSize
}

const headerBytes = 3 * 1024
const sectionBytes = 320
const fisherBytesPerEntry = 1

/**
 * Indices at the bound for masks without structure, which real masks stay below. Of a shared mask only values are stored, of
 * whole tensors no indices.
 */
export function predictPatchBytes(
  { tensors, scales }: TrainedSizes,
  { valueFormat, includeFisher }: Pick<TrainRequest, 'valueFormat' | 'includeFisher'>,
  sharedMask: boolean,
): number {
  const perEntry = includeFisher ? fisherBytesPerEntry : 0
  const deltas = tensors.map(({ size, entries }) => {
    const indices = sharedMask ? 0 : subsetBits(size, entries) / 8
    return sectionBytes + indices + encodedValueBytes(valueFormat, Math.ceil(entries)) + perEntry * entries
  })
  const vectors = scales.map((length) => sectionBytes + length * float32Bytes)
  return Math.ceil([...deltas, ...vectors].reduce((sum, bytes) => sum + bytes, headerBytes))
}

/** Bytes of a token's text, as it is copied for the run. */
const bytesPerToken = 5
const keptCheckpoints = 2
/** Values, best values, two moments and an index. */
const bytesPerTrainedInCheckpoint = 20

/** Checkpoints and the run's copy of its data. */
export function predictRunBytes(sizes: TrainedSizes, { trainingTokens, heldOutTokens }: DataCard): number {
  const checkpoints = keptCheckpoints * countTrained(sizes) * bytesPerTrainedInCheckpoint
  return checkpoints + (trainingTokens + heldOutTokens) * bytesPerToken
}

/** log₂ C(n, k), by Stirling's formula; real k are welcome. */
export function subsetBits(n: number, k: number): number {
  if (k <= 0 || k >= n) return 0
  const p = k / n
  const entropy = -p * Math.log2(p) - (1 - p) * Math.log2(1 - p)
  return Math.max(0, n * entropy - Math.log2(2 * Math.PI * n * p * (1 - p)) / 2)
}
