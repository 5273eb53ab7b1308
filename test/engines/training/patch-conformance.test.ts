/**
 * How patches are trained, on stories260K against float64 numbers of an independent implementation: the Fisher information, the
 * mask it chooses, and training of that mask, all through `core/training`.
 */
import { expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import type { MaskChoice } from '#contracts/patch-file/header.ts'
import { elementCount } from '#core/models/expected-tensors.ts'
import type { ByBlockTensor } from '#core/numerics/block.ts'
import type { TrainedParameter } from '#core/ports/engine.ts'
import type { OptimizerStep, Trainee } from '#core/ports/training-engine.ts'
import { fisherScores } from '#core/training/fisher.ts'
import { stepOn } from '#core/training/items.ts'
import { type MaskTensor, maskCandidates, modelParameterCount, selectMask } from '#core/training/mask.ts'
import { parametersOf } from '#core/training/parameters.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import {
  describeWithVectors,
  expectScaleGradient,
  prepareConformanceModels,
  readVectors,
  type ScaleCase,
  scaleNames,
} from '#test/compliance/engine-conformance.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'

interface FishCase {
  readonly examples: readonly (readonly number[])[]
  readonly order: readonly string[]
  readonly offsets: Readonly<Record<string, readonly [offset: number, shape: readonly number[]]>>
  readonly k: number
  readonly threshold: number
  readonly indices: readonly number[]
}
interface TrainCase {
  readonly opt: 'sgd' | 'adam'
  readonly lr: number
  readonly loss_before_each_step: readonly number[]
  readonly delta_first20: readonly number[]
  readonly delta_l2: number
}

const tolerance = 1e-4
const { signal } = new AbortController()
const work = { signal, gate: async () => {}, callTokens: 4096 }

describeWithVectors('patches against conformance vectors', () => {
  const models = prepareConformanceModels()
  const config = () => models().stories.manifest.config

  async function withTrainee<T>(parameters: readonly TrainedParameter[], use: (trainee: Trainee) => Promise<T>) {
    const trainee = await createTrainingEngine().loadTrainee(models().stories, { parameters, threads: 1 })
    try {
      return await use(trainee)
    } finally {
      await trainee.dispose()
    }
  }

  /** The vectors' k of the block matrices, as a share of all parameters. */
  const choiceOf = ({ k }: FishCase): MaskChoice => ({
    keepRatio: k / modelParameterCount(config()),
    quota: 'joint',
    scope: 'blocks',
    head: 'in-budget',
    fisher: { kind: 'empirical', examples: 12, trialSteps: 0 },
  })

  it('choose the same entries of the block matrices by the empirical Fisher, but for ties', async () => {
    const fish = await readVectors<FishCase>('stories260K/fish.json')
    const choice = choiceOf(fish)
    const candidates = maskCandidates(choice, config())
    const parameters = candidates.map(({ name }) => ({ kind: 'tensor', name }) as const)
    await withTrainee(parameters, async (trainee) => {
      const examples = fish.examples.map((tokens) => ({ tokens }))
      const fisher = await fisherScores(trainee, examples, { kind: 'empirical', seed: 0, signal })
      const scores = candidates.map(({ name }, i) => ({ tensor: name, scores: fisher[i] as Float32Array }))
      const mask = selectMask(scores, choice, config())
      const expected = new Map(expectedMask(fish).map((tensor) => [tensor.tensor, new Set(tensor.indices)]))
      const chosen = mask.flatMap(({ tensor, indices }) => Array.from(indices, (index) => ({ tensor, index })))
      expect(chosen.length).toBe(fish.k)
      const strangers = chosen.filter(({ tensor, index }) => !expected.get(tensor)?.has(index))
      expect(strangers.length / fish.k).toBeLessThanOrEqual(0.005)
      for (const { tensor, index } of strangers) {
        const score = scores.find((each) => each.tensor === tensor)?.scores[index] ?? Number.NaN
        expect(Math.abs(score / fish.threshold - 1)).toBeLessThan(tolerance)
      }
    })
  })

  for (const opt of ['sgd', 'adam'] as const) {
    it(`train that mask by ${opt} along the same losses to the same changes`, async () => {
      const fish = await readVectors<FishCase>('stories260K/fish.json')
      const run = (await readVectors<TrainCase[]>('stories260K/train.json')).find((one) => one.opt === opt)
      if (run === undefined) throw new Error(`train.json has no run of ${opt}`)
      await withTrainee(parametersOf('fish', config(), expectedMask(fish)), async (trainee) => {
        const joined = async () => {
          const numbers: number[] = []
          for (const index of trainee.parameters.keys()) numbers.push(...(await trainee.values(index)))
          return numbers
        }
        const before = await joined()
        const batch = fish.examples.slice(0, 4).map((tokens) => ({ tokens }))
        for (const expected of run.loss_before_each_step) {
          const { loss } = await stepOn(trainee, batch, optimizerOf(run), work)
          expect(Math.abs(loss / expected - 1)).toBeLessThan(tolerance)
        }
        const delta = (await joined()).map((value, i) => value - (before[i] ?? Number.NaN))
        expect(relativeError(delta.slice(0, 20), run.delta_first20)).toBeLessThan(tolerance)
        expect(Math.abs(Math.hypot(...delta) / run.delta_l2 - 1)).toBeLessThan(tolerance)
      })
    })
  }

  it('have the gradients of every (IA)³ vector', async () => {
    const expected = await readVectors<ScaleCase>('stories260K/ia3.json')
    await withTrainee(parametersOf('ia3', config(), null), async (trainee) => {
      const { gradients } = await trainee.gradients([{ tokens: expected.tokens }])
      const names = trainee.parameters.map((parameter) =>
        parameter.kind === 'scale' ? `layers.${parameter.block}.${scaleNames[parameter.target]}` : '',
      )
      expect(names.toSorted()).toEqual(Object.keys(expected.grad_l2).toSorted())
      for (const [i, name] of names.entries()) expectScaleGradient(expected, name, gradients[i] ?? [])
    })
  })
})

/** The vectors' joint indices, in the vectors' order of tensors. */
function expectedMask({ order, offsets, indices }: FishCase): MaskTensor[] {
  const ascending = indices.toSorted((a, b) => a - b)
  return order.map((name) => {
    const [start, shape] = offsets[name] ?? [0, []]
    const own = ascending.filter((index) => index >= start && index < start + elementCount(shape))
    return { tensor: canonicalName(name), shape, indices: Uint32Array.from(own, (index) => index - start) }
  })
}

const roles: Readonly<Record<string, keyof ByBlockTensor<unknown>>> = {
  'attention.wq': 'query',
  'attention.wk': 'key',
  'attention.wv': 'value',
  'attention.wo': 'output',
  'feed_forward.w1': 'gate',
  'feed_forward.w2': 'down',
  'feed_forward.w3': 'up',
}

/** `layers.0.attention.wq.weight` -> `model.layers.0.self_attn.q_proj.weight` */
function canonicalName(name: string): string {
  const match = /^layers\.(\d+)\.(.+)\.weight$/.exec(name)
  const role = roles[match?.[2] ?? '']
  if (role === undefined) throw new Error(`${name} is no matrix of a block`)
  return tensorNames.block(Number(match?.[1]))[role]
}

function optimizerOf({ opt, lr }: TrainCase): OptimizerStep {
  if (opt === 'sgd') return { kind: 'sgd', learningRate: lr }
  return { kind: 'adamw', learningRate: lr, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 }
}
