/**
 * T-Few's loss for multiple-choice questions (Liu et al. 2022, §3.2): the right choice's likelihood, the wrong ones'
 * unlikelihood, and a choice between all by length-normalised likelihood, added up without weights. Everything is a function
 * of the log-probabilities of the choices' own tokens, and so are its exact slopes: with them as weights of the targets, the
 * gradient of the weighted likelihood is the gradient of this loss.
 *
 *     L_LM = -1/T_a Σₜ log p(a, t)                              a: the right choice, T: tokens of a choice
 *     L_UL = -Σ_{n≠a} Σₜ log(1 - p(n, t) + ε) / Σ_{n≠a} T_n
 *     L_LN = -log softmax(β)_a,   β_n = 1/T_n Σₜ log p(n, t)
 */
import { logSoftmax } from '../numerics/softmax.ts'

/** One choice: the log-probability of each of its targets, and how much each counts (0: part of the question). */
export interface ChoiceScores {
  readonly logProbabilities: Float32Array
  /** All 1 when left out. */
  readonly weights?: Float32Array | undefined
}

export interface ChoiceLoss {
  /** L_LM + L_UL + L_LN, in nats. */
  readonly loss: number
  /** Whether the right choice has the highest β: how questions are answered. */
  readonly right: boolean
  /** For each choice -∂loss/∂log p of each target: weights of a weighted likelihood with the same gradient. */
  readonly targetWeights: readonly Float32Array[]
}

/** Keeps the unlikelihood of a token that is certain finite, as T-Few's own code does. */
const unlikelihoodFloor = 1e-2

/** Throws `RangeError` for a choice without tokens of its own, or an answer that is none of the choices. */
export function choiceLoss(choices: readonly ChoiceScores[], answer: number): ChoiceLoss {
  if (choices[answer] === undefined) throw new RangeError(`answer ${answer} of ${choices.length} choices`)
  const lengths = choices.map(lengthOf)
  const scores = choices.map((choice, n) => weightedSum(choice) / (lengths[n] as number))
  const logChosen = logSoftmax(Float64Array.from(scores))
  const wrongLength = lengths.reduce((sum, length, n) => (n === answer ? sum : sum + length), 0)
  const wrong = choices.filter((_, n) => n !== answer)
  const unlikelihood =
    wrong.length === 0 ? 0 : wrong.reduce((sum, choice) => sum + unlikelihoodOf(choice), 0) / wrongLength
  const targetWeights = choices.map((choice, n) => {
    const chosen = Math.exp(logChosen[n] as number)
    const share = (n === answer ? 2 - chosen : -chosen) / (lengths[n] as number) // of L_LM and L_LN; of L_LN alone
    return n === answer ? scaled(choice, () => share) : scaled(choice, (p) => share - slope(p) / wrongLength)
  })
  return {
    loss: -(scores[answer] as number) + unlikelihood - (logChosen[answer] as number),
    right: scores.every((score, n) => n === answer || score < (scores[answer] as number)),
    targetWeights,
  }
}

/** -∂ log(1 - p + ε) / ∂ log p */
function slope(p: number): number {
  return p / (1 - p + unlikelihoodFloor)
}

function unlikelihoodOf(choice: ChoiceScores): number {
  return sumOver(choice, (logProbability) => -Math.log(1 - Math.exp(logProbability) + unlikelihoodFloor))
}

function weightedSum(choice: ChoiceScores): number {
  return sumOver(choice, (logProbability) => logProbability)
}

function lengthOf(choice: ChoiceScores, n: number): number {
  const length = sumOver(choice, () => 1)
  if (!(length > 0)) throw new RangeError(`choice ${n} has no tokens of its own`)
  return length
}

function sumOver({ logProbabilities, weights }: ChoiceScores, of: (logProbability: number) => number): number {
  let sum = 0
  for (let t = 0; t < logProbabilities.length; t++) {
    const weight = weights?.[t] ?? 1
    if (weight !== 0) sum += weight * of(logProbabilities[t] as number)
  }
  return sum
}

/** What the choice's tokens weigh times `factor` of their probability. */
function scaled({ logProbabilities, weights }: ChoiceScores, factor: (p: number) => number): Float32Array {
  return logProbabilities.map((logProbability, t) => {
    const weight = weights?.[t] ?? 1
    return weight === 0 ? 0 : weight * factor(Math.exp(logProbability))
  })
}
