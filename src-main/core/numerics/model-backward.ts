/**
 * The gradient of a text's loss with respect to every number of a model: what training and the Fisher are built from,
 * and what engines that do the same faster are tested against.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { type BlockGradients, blockBackward } from './block-backward.ts'
import { type BlockScales, type BlockTrace, traceBlock } from './block-backward-trace.ts'
import { at, type Floats } from './floats.ts'
import { createKeyValueCache } from './key-value-cache.ts'
import { add, linear } from './linear.ts'
import { linearInputGradient, linearWeightGradient } from './linear-backward.ts'
import { embed, type ModelWeights } from './model.ts'
import { rmsNorm } from './rms-norm.ts'
import { rmsNormBackward } from './rms-norm-backward.ts'
import { logSoftmax } from './softmax.ts'

export interface ModelGradients {
  readonly embedding: Float64Array // (vocabulary, hidden); a tied head's part is in it
  readonly blocks: readonly BlockGradients[]
  readonly finalNorm: Float64Array // (hidden,)
  readonly head: Float64Array | null // (vocabulary, hidden); null when tied
}

export interface LossOptions {
  /** (tokens - 1,): the token each position is to predict; the next one when left out. */
  readonly targets?: readonly number[]
  /** (tokens - 1,): weight of predicting the target from those before; all 1 when left out. */
  readonly targetWeights?: Floats
  /** One for each block. */
  readonly scales?: readonly BlockScales[]
}

/** L = -Σₜ wₜ log p(targetₜ | tokens₀…ₜ), in nats, and ∂L/∂θ for every tensor θ. */
export function lossGradients(
  tokens: readonly number[],
  weights: ModelWeights,
  config: ModelConfig,
  { targets = tokens.slice(1), targetWeights, scales = [] }: LossOptions = {},
): { readonly lossSum: number; readonly gradients: ModelGradients } {
  const inputs = tokens.slice(0, -1) // the last token is predicted, and predicts nothing
  const patched = weights.blocks.map((block, i) => ({ weights: block, scales: scales[i] ?? {} }))
  const traces: BlockTrace[] = []
  let x: Floats = embed(inputs, weights.embedding, config)
  for (const block of patched) {
    const trace = traceBlock(x, block, createKeyValueCache(), config)
    traces.push(trace)
    x = trace.output
  }
  const { lossSum, ...head } = headBackward(x, targets, weights, config, targetWeights)

  const blocks: BlockGradients[] = []
  let gradient = head.input
  for (const [i, trace] of [...traces.entries()].reverse()) {
    const block = blockBackward(gradient, trace, patched[i] as (typeof patched)[number], config)
    blocks.unshift(block)
    gradient = block.input
  }
  const embedding = embedBackward(inputs, gradient, config)
  return {
    lossSum,
    gradients: {
      embedding: config.tiedHead ? add(embedding, head.head) : embedding,
      blocks,
      finalNorm: head.finalNorm,
      head: config.tiedHead ? null : head.head,
    },
  }
}

/** Loss of the last hidden states, `x`: (targets, hiddenSize), and back to them: ∂L/∂logitsₜ = wₜ (softmax(logitsₜ) - 1[target]). */
export function headBackward(
  x: Floats,
  targets: readonly number[],
  { finalNorm, head }: ModelWeights,
  { hiddenSize, vocabularySize, rmsNormEpsilon }: ModelConfig,
  targetWeights?: Floats,
) {
  const normed = rmsNorm(x, finalNorm, rmsNormEpsilon)
  const logits = linear(normed, head, hiddenSize)
  const dLogits = new Float64Array(logits.length)
  let lossSum = 0
  for (const [t, target] of targets.entries()) {
    const row = t * vocabularySize
    const weight = targetWeights ? at(targetWeights, t) : 1
    const logProbabilities = logSoftmax(logits.subarray(row, row + vocabularySize))
    lossSum -= weight * at(logProbabilities, target)
    for (const [v, logProbability] of logProbabilities.entries()) {
      dLogits[row + v] = weight * (Math.exp(logProbability) - (v === target ? 1 : 0))
    }
  }
  const norm = rmsNormBackward(linearInputGradient(dLogits, head, hiddenSize), x, finalNorm, rmsNormEpsilon)
  return {
    lossSum,
    input: norm.input,
    finalNorm: norm.gain,
    head: linearWeightGradient({ input: normed, outputGradient: dLogits, tokens: targets.length }),
  }
}

/** Each row of the embedding gathers the gradients of its token's places. -> (vocabulary, hidden) */
function embedBackward(tokens: readonly number[], gradient: Floats, { vocabularySize, hiddenSize }: ModelConfig) {
  const rows = new Float64Array(vocabularySize * hiddenSize)
  for (const [t, token] of tokens.entries()) {
    for (let i = 0; i < hiddenSize; i++) {
      rows[token * hiddenSize + i] = at(rows, token * hiddenSize + i) + at(gradient, t * hiddenSize + i)
    }
  }
  return rows
}
