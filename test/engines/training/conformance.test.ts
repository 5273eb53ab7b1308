/** Training on stories260K against float64 numbers of an independent implementation; see the README beside them. */
import { expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import { elementCount } from '#core/models/expected-tensors.ts'
import type { ByBlockTensor } from '#core/numerics/block.ts'
import type { ScaleTarget, TrainedParameter } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import type { OptimizerStep, Trainee } from '#core/ports/training-engine.ts'
import { createBlockBackward } from '#engines/training/block-backward.ts'
import { lookUpRows } from '#engines/training/embedding.ts'
import { readModelWeights } from '#engines/training/model-weights.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import {
  describeWithVectors,
  expectScaleGradient,
  prepareConformanceModels,
  readVectors,
  type ScaleCase,
  type SpanBackwardCase,
  scaleNames,
} from '#test/compliance/engine-conformance.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'

interface FishCase {
  readonly examples: readonly (readonly number[])[]
  readonly order: readonly string[]
  readonly indices: readonly number[]
  readonly fisher_sum: Readonly<Record<string, number>>
  readonly fisher_at_first20: readonly number[]
}
interface TrainCase {
  readonly opt: 'sgd' | 'adam'
  readonly lr: number
  readonly steps: number
  readonly loss_before_each_step: readonly number[]
  readonly delta_first20: readonly number[]
  readonly delta_l2: number
}
interface MergeCase {
  readonly fisher_a_first20: readonly number[]
  readonly fisher_b_first20: readonly number[]
}

const tolerance = 1e-4

describeWithVectors('the training engine against conformance vectors', () => {
  const models = prepareConformanceModels()

  async function withTrainee(parameters: readonly TrainedParameter[], use: (trainee: Trainee) => Promise<void>) {
    const trainee = await createTrainingEngine().loadTrainee(models().stories, { parameters, threads: 1 })
    await use(trainee)
    await trainee.dispose()
  }

  it('has the empirical Fisher of every tensor, and chooses the same half percent of the block matrices', async () => {
    const fish = await readVectors<FishCase>('stories260K/fish.json')
    const names = Object.keys(fish.fisher_sum)
    const parameters = names.map((name) => ({ kind: 'tensor', name: canonicalName(name) }) as const)
    await withTrainee(parameters, async (trainee) => {
      const squares = await trainee.squaredGradients(fish.examples.map((tokens) => ({ tokens })))
      const fisher = new Map(names.map((name, i) => [name, squares[i]?.map((value) => value / fish.examples.length)]))
      for (const [name, sum] of Object.entries(fish.fisher_sum)) {
        const own = fisher.get(name)?.reduce((total, value) => total + value, 0) ?? Number.NaN
        expect(Math.abs(own / sum - 1)).toBeLessThan(tolerance)
      }
      const joint = fish.order.flatMap((name) => Array.from(fisher.get(name) ?? []))
      const chosen = new Set(largest(joint, fish.indices.length))
      const same = fish.indices.filter((index) => chosen.has(index)).length
      expect(same / fish.indices.length).toBeGreaterThanOrEqual(0.995)
      const first = fish.indices.slice(0, 20).map((index) => joint[index] ?? Number.NaN)
      expect(relativeError(first, fish.fisher_at_first20)).toBeLessThan(tolerance)
    })
  })

  for (const opt of ['sgd', 'adam'] as const) {
    it(`trains that mask by ${opt} along the same losses to the same changes, with the same Fisher there`, async () => {
      const fish = await readVectors<FishCase>('stories260K/fish.json')
      const run = (await readVectors<TrainCase[]>('stories260K/train.json')).find((one) => one.opt === opt)
      if (run === undefined) throw new Error(`train.json has no run of ${opt}`)
      const merge = await readVectors<MergeCase>('stories260K/merge.json')
      await withTrainee(jointMask(fish, models().stories), async (trainee) => {
        const joined = async () => {
          const numbers: number[] = []
          for (const index of trainee.parameters.keys()) numbers.push(...(await trainee.values(index)))
          return numbers
        }
        const before = await joined()
        const batch = fish.examples.slice(0, 4).map((tokens) => ({ tokens }))
        for (const expected of run.loss_before_each_step) {
          const { lossSum, weightSum } = await trainee.step(batch, optimizerOf(run))
          expect(Math.abs(lossSum / weightSum / expected - 1)).toBeLessThan(tolerance)
        }
        const delta = (await joined()).map((value, i) => value - (before[i] ?? Number.NaN))
        expect(relativeError(delta.slice(0, 20), run.delta_first20)).toBeLessThan(tolerance)
        expect(Math.abs(Math.hypot(...delta) / run.delta_l2 - 1)).toBeLessThan(tolerance)
        const [from, expected] = opt === 'sgd' ? [4, merge.fisher_a_first20] : [8, merge.fisher_b_first20]
        const examples = fish.examples.slice(from, from + 4).map((tokens) => ({ tokens }))
        const fisher = (await trainee.squaredGradients(examples)).flatMap((values) => Array.from(values))
        expect(
          relativeError(
            fisher.slice(0, 20).map((value) => value / 4),
            expected,
          ),
        ).toBeLessThan(tolerance)
      })
    })
  }

  it('has the (IA)³ gradients', async () => {
    const expected = await readVectors<ScaleCase>('stories260K/ia3.json')
    const names = Object.keys(expected.grad_l2)
    await withTrainee(names.map(scaleParameter), async (trainee) => {
      const { gradients } = await trainee.gradients([{ tokens: expected.tokens }])
      for (const [i, name] of names.entries()) expectScaleGradient(expected, name, gradients[i] ?? [])
    })
  })

  it('carries a gradient backward through blocks on borrowed weights', async () => {
    const expected = await readVectors<SpanBackwardCase>('stories260K/span_backward.json')
    const { config } = models().stories.manifest
    const weights = await readModelWeights(models().stories, {})
    const blocks = createBlockBackward(config, { threads: 1 })
    const [start, end] = expected.blocks
    const inputs: Float32Array[] = []
    let x = lookUpRows(weights.tensor(tensorNames.embedding), Uint32Array.from(expected.tokens), config.hiddenSize)
    for (let block = 0; block < end; block++) {
      inputs.push(x)
      x = (await blocks.forward(weights.block(block), x)).y
    }
    let dy: Float32Array = new Float32Array(x.length)
    dy.set(expected.grad_out.flat())
    for (let block = end - 1; block >= start; block--) {
      dy = (await blocks.backward(weights.block(block), inputs[block] as Float32Array, dy)).dx
    }
    await blocks.dispose()
    const rows = expected.grad_in.flat()
    expect(relativeError(dy.subarray(0, rows.length), rows)).toBeLessThan(tolerance)
    expect(dy.subarray(rows.length).every((value) => value === 0)).toBe(true)
  })
})

const ends: Readonly<Record<string, string>> = {
  'tok_embeddings.weight': tensorNames.embedding,
  'norm.weight': tensorNames.finalNorm,
}
const roles: Readonly<Record<string, keyof ByBlockTensor<unknown>>> = {
  attention_norm: 'attentionNorm',
  'attention.wq': 'query',
  'attention.wk': 'key',
  'attention.wv': 'value',
  'attention.wo': 'output',
  ffn_norm: 'feedForwardNorm',
  'feed_forward.w1': 'gate',
  'feed_forward.w2': 'down',
  'feed_forward.w3': 'up',
}

/** `layers.0.attention.wq.weight` -> `model.layers.0.self_attn.q_proj.weight` */
function canonicalName(name: string): string {
  const match = /^layers\.(\d+)\.(.+)\.weight$/.exec(name)
  const role = roles[match?.[2] ?? '']
  return ends[name] ?? tensorNames.block(Number(match?.[1]))[role ?? 'query']
}

/** `layers.0.l_k` -> the scale of block 0's keys */
function scaleParameter(name: string): TrainedParameter {
  const [, block, short] = name.split('.')
  const target = (Object.keys(scaleNames) as ScaleTarget[]).find((each) => scaleNames[each] === short) ?? 'key'
  return { kind: 'scale', block: Number(block), target }
}

/** The joint indices as one mask a matrix, in the file's order. */
function jointMask({ order, indices }: FishCase, { manifest }: ModelHandle): TrainedParameter[] {
  const shapes = new Map(manifest.tensors.map(({ name, shape }) => [name, shape]))
  const ascending = indices.toSorted((a, b) => a - b)
  let start = 0
  return order.map((name) => {
    const canonical = canonicalName(name)
    const end = start + elementCount(shapes.get(canonical) ?? [])
    const own = ascending.filter((index) => index >= start && index < end).map((index) => index - start)
    start = end
    return { kind: 'entries', name: canonical, indices: Uint32Array.from(own) }
  })
}

function largest(values: readonly number[], count: number): number[] {
  return [...values.keys()].sort((a, b) => (values[b] as number) - (values[a] as number)).slice(0, count)
}

function optimizerOf({ opt, lr }: TrainCase): OptimizerStep {
  if (opt === 'sgd') return { kind: 'sgd', learningRate: lr }
  return { kind: 'adamw', learningRate: lr, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 }
}
