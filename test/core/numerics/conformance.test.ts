/** `core/numerics` itself against float64 numbers of an independent implementation, forward and backward. */
import { expect, it } from 'vitest'
import { blockShapes } from '#core/numerics/block.ts'
import { type MatrixRole, tensorGradient, type VectorRole } from '#core/numerics/block-backward.ts'
import type { ByScale } from '#core/numerics/block-backward-trace.ts'
import { lossGradients, type ModelGradients } from '#core/numerics/model-backward.ts'
import { oracle, oracleBackward, oracleWeights } from '#test/compliance/engine/oracle.ts'
import {
  describeWithVectors,
  expectCase,
  expectScaleGradient,
  type ForwardCase,
  prepareConformanceModels,
  readVectors,
  type ScaleCase,
  type SeedlingCases,
  type SpanBackwardCase,
  scaleNames,
} from '#test/compliance/engine-conformance.ts'
import { relativeError } from './relative-error.ts'

interface FisherCase {
  readonly examples: readonly (readonly number[])[]
  /** Sums of the empirical diagonal Fisher, by llama2.c's tensor names. */
  readonly fisher_sum: Readonly<Record<string, number>>
}

/** llama2.c's names in `fish.json`, after `layers.N.`. */
const fisherNames: Readonly<Partial<Record<MatrixRole | VectorRole, string>>> = {
  attentionNorm: 'attention_norm.weight',
  query: 'attention.wq.weight',
  key: 'attention.wk.weight',
  value: 'attention.wv.weight',
  output: 'attention.wo.weight',
  feedForwardNorm: 'ffn_norm.weight',
  gate: 'feed_forward.w1.weight',
  down: 'feed_forward.w2.weight',
  up: 'feed_forward.w3.weight',
}

describeWithVectors('core/numerics against conformance vectors', () => {
  const models = prepareConformanceModels()

  it('has the logits, losses and hidden states of stories260K', async () => {
    for (const expected of await readVectors<readonly ForwardCase[]>('stories260K/forward.json')) {
      const { hidden, logits } = await oracle(models().stories, expected.tokens)
      expectCase(expected, logits)
      for (const [blocks, row] of (expected.hidden_last ?? []).entries()) {
        expect(relativeError(hidden[blocks]?.slice(-row.length) ?? [], row)).toBeLessThan(1e-6)
      }
    }
  })

  it('has the logits and losses of the seedling', async () => {
    for (const expected of (await readVectors<SeedlingCases>('seedling.json')).cases) {
      expectCase(expected, (await oracle(models().seedling, expected.tokens)).logits)
    }
  })

  it('has the gradient at the input of a span', async () => {
    const expected = await readVectors<SpanBackwardCase>('stories260K/span_backward.json')
    const [start, end] = expected.blocks
    const { hidden } = await oracle(models().stories, expected.tokens)
    const outputGradient = new Float64Array(hidden[start]?.length ?? 0)
    outputGradient.set(expected.grad_out.flat())
    const request = { span: { start, end }, hidden: hidden[start] ?? outputGradient, outputGradient }
    const { input } = await oracleBackward(models().stories, request)
    const rows = expected.grad_in.flat()
    expect(relativeError(input.subarray(0, rows.length), rows)).toBeLessThan(1e-6)
  })

  it('has the (IA)³ gradients of a loss', async () => {
    const expected = await readVectors<ScaleCase>('stories260K/ia3.json')
    const { stories } = models()
    const { gradients } = lossGradients(expected.tokens, await oracleWeights(stories), stories.manifest.config)
    for (const [index, { scales }] of gradients.blocks.entries()) {
      for (const target of Object.keys(scaleNames) as (keyof ByScale<unknown>)[]) {
        expectScaleGradient(expected, `layers.${index}.${scaleNames[target]}`, scales[target])
      }
    }
  })

  it('has the sums of every tensor’s Fisher', async () => {
    const { examples, fisher_sum } = await readVectors<FisherCase>('stories260K/fish.json')
    const { stories } = models()
    const weights = await oracleWeights(stories)
    const sums = new Map<string, number>()
    for (const tokens of examples) {
      const { gradients } = lossGradients(tokens, weights, stories.manifest.config)
      for (const [name, gradient] of namedGradients(gradients, Object.keys(blockShapes(stories.manifest.config)))) {
        sums.set(name, (sums.get(name) ?? 0) + squaredNorm(gradient) / examples.length)
      }
    }
    expect(sums.size).toBe(Object.keys(fisher_sum).length)
    for (const [name, sum] of Object.entries(fisher_sum)) {
      expect(Math.abs((sums.get(name) ?? 0) / sum - 1), name).toBeLessThan(1e-5)
    }
  })
})

function* namedGradients({ embedding, finalNorm, blocks }: ModelGradients, roles: readonly string[]) {
  yield ['tok_embeddings.weight', embedding] as const
  yield ['norm.weight', finalNorm] as const
  for (const [index, block] of blocks.entries()) {
    for (const role of roles as (MatrixRole | VectorRole)[]) {
      yield [`layers.${index}.${fisherNames[role]}`, tensorGradient(block, role) ?? new Float64Array()] as const
    }
  }
}

function squaredNorm(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value * value, 0)
}
