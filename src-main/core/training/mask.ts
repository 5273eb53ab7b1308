/**
 * Which numbers of a model a patch may change: the k of the highest scores, k = round(keepRatio × all of the model's
 * parameters), whatever the scope, so that patches of one keepRatio are of one size. Positions are those of the tensors in
 * the order of the forward pass, each row-major; of equal scores the first position wins. (Sung et al. 2021, §3.)
 *
 * A tied head is the embedding and has no policy of its own. An untied one competes like any tensor (`in-budget`), is
 * trained whole and beside the k (`free`), or is left alone (`excluded`). Outside of the scope it is only ever `free`.
 */
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import type { MaskChoice } from '#contracts/patch-file/header.ts'
import { PatchMismatchError, TrainingFailedError } from '../errors.ts'
import { elementCount, expectedTensors, type TensorShape } from '../models/expected-tensors.ts'
import { createRandom, deriveSeed } from '../numerics/random.ts'
import { selectLargest } from './top-k.ts'

/** The chosen entries of one tensor; at least one. */
export interface MaskTensor {
  readonly tensor: string
  readonly shape: readonly number[]
  /** Row-major, ascending, none twice. */
  readonly indices: Uint32Array
}

export interface TensorScores {
  readonly tensor: string
  /** One for each number of the tensor, not negative. */
  readonly scores: Float32Array
}

export function modelParameterCount(config: ModelConfig): number {
  return expectedTensors(config).reduce((sum, { shape }) => sum + elementCount(shape), 0)
}

/** The tensors whose numbers compete for the mask, in the order of positions. */
export function maskCandidates(choice: Pick<MaskChoice, 'scope' | 'head'>, config: ModelConfig): TensorShape[] {
  const ends: readonly string[] = [tensorNames.embedding, tensorNames.finalNorm, tensorNames.head]
  return expectedTensors(config).filter(({ name, shape }) => {
    if (choice.scope === 'blocks') return shape.length === 2 && !ends.includes(name)
    return name !== tensorNames.head || choice.head === 'in-budget'
  })
}

/** The k above: at least one, at most what there is to choose from. */
export function chosenCount(choice: MaskChoice, config: ModelConfig): number {
  const available = maskCandidates(choice, config).reduce((sum, { shape }) => sum + elementCount(shape), 0)
  return Math.min(available, Math.max(1, Math.round(choice.keepRatio * modelParameterCount(config))))
}

/**
 * The mask of the highest scores. Throws `PatchMismatchError` when the scores are not those of `maskCandidates`,
 * `TrainingFailedError` for a score that is negative or not finite.
 */
export function selectMask(scores: readonly TensorScores[], choice: MaskChoice, config: ModelConfig): MaskTensor[] {
  const candidates = maskCandidates(choice, config)
  const values = candidates.map((candidate) => scoresOf(candidate, scores))
  const count = chosenCount(choice, config)
  const chosen =
    choice.quota === 'joint'
      ? selectFinite(values, count)
      : shareOut(count, candidates).map((own, i) => selectFinite([values[i] as Float32Array], own)[0] as Uint32Array)
  return maskOf(candidates, chosen, choice, config)
}

/** A mask that only the seed decides: every subset of k positions is equally likely, or of each tensor's share of k. */
export function selectRandomMask(choice: MaskChoice, config: ModelConfig, seed: number): MaskTensor[] {
  const candidates = maskCandidates(choice, config)
  const sizes = candidates.map(({ shape }) => elementCount(shape))
  const random = createRandom(deriveSeed(seed, maskLabel))
  const count = chosenCount(choice, config)
  const chosen =
    choice.quota === 'joint'
      ? sampleJointly(sizes, count, random)
      : shareOut(count, candidates).map((own, i) => sampleJointly([sizes[i] as number], own, random)[0] as Uint32Array)
  return maskOf(candidates, chosen, choice, config)
}

/** The absolute values of a tensor, as scores. */
export function magnitudes(values: Float32Array): Float32Array {
  return values.map(Math.abs)
}

const maskLabel = 0x6d61736b

function scoresOf({ name, shape }: TensorShape, scores: readonly TensorScores[]): Float32Array {
  const found = scores.find(({ tensor }) => tensor === name)?.scores
  if (found === undefined) throw new PatchMismatchError(name, 'has no scores')
  if (found.length !== elementCount(shape)) throw new PatchMismatchError(name, `${found.length} scores`)
  return found
}

function selectFinite(values: readonly Float32Array[], count: number): Uint32Array[] {
  try {
    return selectLargest(values, count)
  } catch (cause) {
    throw new TrainingFailedError('a score of the mask is not a finite number', { cause })
  }
}

/**
 * `count` in the proportions of the tensors' sizes, none more than its size: whole parts first, what is left to the
 * largest remainders (Hamilton's method).
 */
function shareOut(count: number, tensors: readonly TensorShape[]): number[] {
  const sizes = tensors.map(({ shape }) => elementCount(shape))
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const exact = sizes.map((size) => (count * size) / total)
  const shares = exact.map(Math.floor)
  const left = count - shares.reduce((sum, share) => sum + share, 0)
  const byRemainder = [...shares.keys()].sort((a, b) => remainder(exact, b) - remainder(exact, a) || a - b)
  for (const i of byRemainder.slice(0, left)) shares[i] = (shares[i] as number) + 1
  return shares
}

function remainder(exact: readonly number[], i: number): number {
  return (exact[i] as number) % 1
}

/** Selection sampling: each position is taken with the chance that is left for it (Knuth, TAOCP 2, 3.4.2, algorithm S). */
function sampleJointly(sizes: readonly number[], count: number, random: () => number): Uint32Array[] {
  let positionsLeft = sizes.reduce((sum, size) => sum + size, 0)
  let wanted = count
  return sizes.map((size) => {
    const taken: number[] = []
    for (let i = 0; i < size; i++, positionsLeft--) {
      if (random() * positionsLeft >= wanted) continue
      taken.push(i)
      wanted--
    }
    return Uint32Array.from(taken)
  })
}

function maskOf(
  candidates: readonly TensorShape[],
  chosen: readonly Uint32Array[],
  choice: MaskChoice,
  config: ModelConfig,
): MaskTensor[] {
  const mask = candidates.map(({ name, shape }, i) => ({ tensor: name, shape, indices: chosen[i] as Uint32Array }))
  const head = expectedTensors(config).filter(({ name }) => name === tensorNames.head && choice.head === 'free')
  const whole = head.map(({ name, shape }) => ({ tensor: name, shape, indices: allIndices(elementCount(shape)) }))
  return [...mask, ...whole].filter(({ indices }) => indices.length > 0)
}

export function allIndices(count: number): Uint32Array {
  const indices = new Uint32Array(count)
  for (let i = 0; i < count; i++) indices[i] = i
  return indices
}
