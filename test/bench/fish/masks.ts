/** Masks as the product chooses them. What they are chosen by is measured once for a text and a seed. */
import type { MaskChoice } from '#contracts/patch-file/header.ts'
import type { Trainee, TrainingExample } from '#core/ports/training-engine.ts'
import { createBatches } from '#core/training/batches.ts'
import { fisherScores } from '#core/training/fisher.ts'
import { trialRate } from '#core/training/learning-rates.ts'
import { type MaskTensor, magnitudes, maskCandidates, selectMask, selectRandomMask } from '#core/training/mask.ts'
import { movementScores } from '#core/training/movement.ts'
import { rateFactor } from '#core/training/schedule.ts'
import { type CellComponents, type CellSpec, schedule, valuesOf } from './cell.ts'
import { trialSteps } from './methods.ts'

type Place = Pick<CellSpec, 'domain' | 'seed' | 'protectedShare'>

/** Of all tensors, in the model's order. */
interface Scores {
  readonly fisher: readonly Float32Array[]
  readonly movement: readonly Float32Array[]
}

const fisherExamples = 256
const everything = { scope: 'all', head: 'in-budget' } as const

export function createMasks({ engine, model, texts }: CellComponents, { threads }: { readonly threads: number }) {
  const { config } = model.manifest
  const tensors = maskCandidates(everything, config)
  const known = new Map<string, Promise<Scores>>()

  async function withWholeModel<T>(use: (trainee: Trainee) => Promise<T>): Promise<T> {
    const parameters = tensors.map(({ name }) => ({ kind: 'tensor', name }) as const)
    const trainee = await engine.loadTrainee(model, { parameters, threads })
    return await use(trainee).finally(() => trainee.dispose())
  }

  function scoresOf({ domain, seed, protectedShare }: Place): Promise<Scores> {
    const key = `${domain} ${seed} ${protectedShare}`
    const scores = known.get(key) ?? withWholeModel((trainee) => measureScores(trainee, domain, seed))
    known.clear() // twice the model's size: one is kept
    known.set(key, scores)
    return scores
  }

  async function measureScores(trainee: Trainee, domain: Place['domain'], seed: number): Promise<Scores> {
    const { train } = texts.domains[domain]
    const init = { count: train.length, baseCount: 0, protectedShare: 0, seed: seed + 1_000 }
    const pick = (places: readonly number[]) => places.map((i) => train[i] as TrainingExample)
    const examples = pick(createBatches({ ...init, batchSize: fisherExamples })(0).own)
    const signal = new AbortController().signal
    const fisher = await fisherScores(trainee, examples, { kind: 'empirical', seed, signal })
    const before = await valuesOf(trainee)
    const batches = createBatches({ ...init, batchSize: 8, seed: seed + 2_000 })
    for (let step = 0; step < trialSteps; step++) {
      const learningRate = trialRate(config) * rateFactor(step, { steps: trialSteps, ...schedule })
      const constants = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maximumNorm: 1 } as const
      await trainee.step(pick(batches(step).own), { kind: 'adamw', learningRate, ...constants })
    }
    return { fisher, movement: movementScores(fisher, before, await valuesOf(trainee)) }
  }

  const named = (scores: readonly Float32Array[]) =>
    tensors.map(({ name }, t) => ({ tensor: name, scores: scores[t] as Float32Array }))

  return {
    async choose(spec: CellSpec, choice: MaskChoice): Promise<readonly MaskTensor[]> {
      if (spec.method === 'random') return selectRandomMask(choice, config, spec.seed)
      if (spec.method === 'magnitude') {
        const values = await withWholeModel(valuesOf)
        return selectMask(named(values.map(magnitudes)), choice, config)
      }
      const { fisher, movement } = await scoresOf(spec)
      return selectMask(named(spec.method === 'default' ? movement : fisher), choice, config)
    },
  }
}
