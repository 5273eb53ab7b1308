/** One training: a method, a size, a rate, a seed. Its result is kept in a folder, so that a bench that was cut goes on. */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { roundValues } from '#contracts/patch-file/value-codec.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import type { Trainee, TrainingEngine, TrainingExample } from '#core/ports/training-engine.ts'
import { createBatches } from '#core/training/batches.ts'
import { parametersOf } from '#core/training/parameters.ts'
import { rateFactor } from '#core/training/schedule.ts'
import { createLora } from './lora.ts'
import { createMasks } from './masks.ts'
import { loraRank, type Method, maskChoice } from './methods.ts'
import type { Domain, Texts } from './texts.ts'

export interface CellSpec {
  readonly domain: Domain
  readonly method: Method
  /** Of the model's numbers; ignored without a mask. */
  readonly keepRatio: number
  readonly learningRate: number
  readonly seed: number
  /** Share of each batch that is text of the base's own kind. */
  readonly protectedShare: number
  /** That text is what the base writes itself, not what it was trained on. */
  readonly ownText?: true
}

export interface CellResult {
  readonly trained: number
  /** Nats a token, before less after. */
  readonly gain: number
  readonly validationGain: number
  /** Of the base's own kind of text, after less before. */
  readonly forgotten: number
  /** Gain with the changes rounded to a patch's formats. */
  readonly rounded: Readonly<Record<string, number>>
  /** Mean training loss of every ten steps. */
  readonly curve: readonly number[]
}

export const steps = 120
export const schedule = { warmup: 0.06, schedule: 'linear' } as const
const batchSize = 8
const folder = join(tmpdir(), 'quiltbee-bench-fish-2')

export interface CellComponents {
  readonly engine: TrainingEngine
  readonly model: ModelHandle
  readonly texts: Texts
  readonly ownText: () => Promise<readonly TrainingExample[]>
}

export function createCells(components: CellComponents, init: { readonly threads: number }) {
  const masks = createMasks(components, init)
  return {
    async run(spec: CellSpec): Promise<CellResult> {
      const file = join(folder, `${createHash('sha256').update(JSON.stringify(spec)).digest('hex').slice(0, 24)}.json`)
      const kept = await readFile(file, 'utf8').catch(() => null)
      if (kept !== null) return JSON.parse(kept) as CellResult
      const result = await trainCell(components, masks, init.threads, spec)
      await mkdir(folder, { recursive: true })
      await writeFile(`${file}.new`, JSON.stringify(result))
      await rename(`${file}.new`, file)
      return result
    },
  }
}

/** What a step changes: a trainee's own numbers, or two thin matrices beside them. */
interface Learner {
  readonly trained: number
  step(batch: readonly TrainingExample[], learningRate: number): Promise<number>
}

async function trainCell(
  components: CellComponents,
  masks: ReturnType<typeof createMasks>,
  threads: number,
  spec: CellSpec,
): Promise<CellResult> {
  const { engine, model, texts } = components
  const { config } = model.manifest
  const choice = maskChoice(spec.method, spec.keepRatio)
  const mask = choice && (await masks.choose(spec, choice))
  const kind = choice === null ? (spec.method === 'ia3' ? 'ia3' : 'full') : 'fish'
  const parameters = parametersOf(kind, config, mask).filter((one) => spec.method !== 'lora' || isMatrix(one))
  const trainee = await engine.loadTrainee(model, { parameters, threads })
  try {
    const base = await valuesOf(trainee)
    const learner =
      spec.method === 'lora' ? await createLora(trainee, config, { rank: loraRank, ...spec }) : adamw(trainee)
    const before = await measure(trainee, texts, spec.domain)
    const curve = await learn(learner, components, spec)
    const after = await measure(trainee, texts, spec.domain)
    return {
      trained: learner.trained,
      gain: before.test - after.test,
      validationGain: before.validation - after.validation,
      forgotten: after.base - before.base,
      rounded: spec.method === 'default' ? await roundedGains(trainee, base, before.test, texts, spec.domain) : {},
      curve,
    }
  } finally {
    await trainee.dispose()
  }
}

function isMatrix(parameter: { readonly kind: string; readonly name?: string }): boolean {
  return parameter.name?.includes('_proj') === true
}

function adamw(trainee: Trainee): Learner {
  return {
    trained: trainee.parameterCount,
    async step(batch, learningRate) {
      const constants = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maximumNorm: 1 } as const
      const { lossSum, weightSum } = await trainee.step(batch, { kind: 'adamw', learningRate, ...constants })
      return lossSum / weightSum
    },
  }
}

async function learn(learner: Learner, { texts, ownText }: CellComponents, spec: CellSpec) {
  const { domain, seed, learningRate, protectedShare } = spec
  const { train } = texts.domains[domain]
  const base = spec.ownText ? await ownText() : texts.base.train
  const batches = createBatches({ count: train.length, baseCount: base.length, batchSize, protectedShare, seed })
  const losses: number[] = []
  for (let step = 0; step < steps; step++) {
    const batch = batches(step)
    const examples = [...batch.own.map((i) => train[i]), ...batch.base.map((i) => base[i])] as TrainingExample[]
    const rate = learningRate * rateFactor(step, { steps, ...schedule })
    losses.push(await learner.step(examples, rate))
  }
  return Array.from({ length: steps / 10 }, (_, i) => meanOf(losses.slice(i * 10, i * 10 + 10)))
}

async function measure(trainee: Trainee, texts: Texts, domain: Domain) {
  const { validation, test } = texts.domains[domain]
  return {
    validation: await meanLoss(trainee, validation),
    test: await meanLoss(trainee, test),
    base: await meanLoss(trainee, texts.base.test),
  }
}

async function roundedGains(
  trainee: Trainee,
  base: readonly Float32Array[],
  before: number,
  texts: Texts,
  domain: Domain,
): Promise<Record<string, number>> {
  const values = await valuesOf(trainee)
  const gains: Record<string, number> = {}
  for (const format of ['float16', 'bfloat16', 'int8'] as const) {
    for (const [p, after] of values.entries()) {
      const from = base[p] as Float32Array
      const change = roundValues(
        after.map((value, i) => value - (from[i] as number)),
        format,
      )
      await trainee.setValues(
        p,
        change.map((value, i) => value + (from[i] as number)),
      )
    }
    gains[format] = before - (await meanLoss(trainee, texts.domains[domain].test))
  }
  return gains
}

async function meanLoss(trainee: Trainee, examples: readonly TrainingExample[]): Promise<number> {
  const { lossSum, weightSum } = await trainee.loss(examples)
  return lossSum / weightSum
}

export async function valuesOf(trainee: Trainee): Promise<Float32Array[]> {
  const values: Float32Array[] = []
  for (const index of trainee.parameters.keys()) values.push(await trainee.values(index))
  return values
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
