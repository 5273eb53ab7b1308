/** A training step of a small model beside TensorFlow.js on WASM, and a masked step beside a dense one (acceptance 4). */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createModelStore } from '#adapters/models/store.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { TrainedParameter } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import type { Trainee, TrainingExample } from '#core/ports/training-engine.ts'
import { median, progress } from '../report.ts'
import { benchConfig, writeRandomModel } from './bench-model.ts'
import { startCompute } from './compute.ts'
import { inTurn, pairedRatio, timed } from './in-turn.ts'
import { randomMask } from './random-patch.ts'
import { startTfjsLlama, type TfjsLlama } from './tfjs-llama.ts'

/** 6.6 million numbers. */
export const smallConfig: ModelConfig = {
  ...benchConfig,
  hiddenSize: 256,
  intermediateSize: 688,
  headCount: 8,
  kvHeadCount: 8,
  headSize: 32,
  vocabularySize: 1024,
  contextLength: 512,
  tiedHead: true,
}
const batchSize = 4
const tokensEach = 128
const tokensPerStep = batchSize * tokensEach
const density = 0.005
const learningRate = 0.05
const sgd = { kind: 'sgd', learningRate } as const
export const adamw = {
  kind: 'adamw',
  learningRate: 1e-4,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.01,
} as const

export async function measureTraining(repetitions: number): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), 'quiltbee-bench-training-'))
  try {
    await writeRandomModel(join(folder, 'small.gguf'), smallConfig, 'F32')
    const models = join(folder, 'models')
    const store = createModelStore({ directory: models })
    const { digest } = await store.import(join(folder, 'small.gguf'))
    await using parts = new AsyncDisposableStack()
    const model = parts.adopt(await store.open(digest), (opened) => opened.close())
    const { training } = parts.use(await startCompute({ models, prepared: join(folder, 'prepared') }))
    const load = async (parameters: readonly TrainedParameter[]) =>
      parts.adopt(await training.loadTrainee(model, { parameters, threads: 1 }), (trainee) => trainee.dispose())
    const tfjs = parts.use(await startTfjsLlama(model))
    const dense = await load(everything(model))
    await checkLosses(dense, tfjs)
    return await measureSteps({ dense, masked: await load(maskOf(smallConfig)), tfjs }, repetitions)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Trained {
  readonly dense: Trainee
  readonly masked: Trainee
  readonly tfjs: TfjsLlama
}

async function measureSteps({ dense, masked, tfjs }: Trained, repetitions: number): Promise<Record<string, number>> {
  const batch = examples()
  const times = await inTurn(
    {
      adamw: () => timed(() => dense.step(batch, adamw)),
      sgd: () => timed(() => dense.step(batch, sgd)),
      masked: () => timed(() => masked.step(batch, adamw)),
      tfjs: () => timed(async () => tfjs.step(tokensOf(batch), learningRate)),
    },
    repetitions,
  )
  return {
    train_over_tfjs_wasm: pairedRatio('a step of TensorFlow.js by ours with AdamW', times.tfjs, times.adamw),
    masked_train_over_tfjs_wasm: pairedRatio('a step of TensorFlow.js by a masked one', times.tfjs, times.masked),
    train_sgd_over_tfjs_wasm: pairedRatio('a step of TensorFlow.js by ours with SGD', times.tfjs, times.sgd),
    train_tokens_per_s: (1000 * tokensPerStep) / median(times.adamw),
    masked_train_tokens_per_s: (1000 * tokensPerStep) / median(times.masked),
    train_sgd_tokens_per_s: (1000 * tokensPerStep) / median(times.sgd),
    tfjs_tokens_per_s: (1000 * tokensPerStep) / median(times.tfjs),
    masked_over_dense_time: pairedRatio('a masked step by a dense one', times.masked, times.adamw),
    masked_optimizer_state_ratio: masked.optimizerStateBytes / dense.optimizerStateBytes,
  }
}

/** Both begin with the same loss, and after a step of SGD still have the same: so the gradients agree too. Throws if not. */
async function checkLosses(dense: Trainee, tfjs: TfjsLlama): Promise<void> {
  const batch = examples()
  for (const when of ['before', 'after'] as const) {
    const { lossSum, weightSum } = await dense.step(batch, sgd)
    const [ours, theirs] = [lossSum / weightSum, tfjs.step(tokensOf(batch), learningRate)]
    progress(`loss ${when} a step: ours ${ours.toFixed(6)}, TensorFlow.js ${theirs.toFixed(6)}`)
    if (!(Math.abs(ours - theirs) <= 1e-4)) throw new Error('TensorFlow.js trains another model')
  }
}

export function everything({ manifest }: ModelHandle): TrainedParameter[] {
  return manifest.tensors.map(({ name }) => ({ kind: 'tensor', name }))
}

/** Half a percent of the block matrices. */
export function maskOf(config: ModelConfig): TrainedParameter[] {
  return randomMask(config, density, 1).map(({ tensor, indices }) => ({ kind: 'entries', name: tensor, indices }))
}

/** `count` rows that predict `length` tokens each. */
export function examples(count = batchSize, length = tokensEach): TrainingExample[] {
  const token = (index: number) => (index * 7919 + (index >> 3) * 104_729) % smallConfig.vocabularySize
  return Array.from({ length: count }, (_, row) => ({
    tokens: Array.from({ length: length + 1 }, (_, at) => token(row * (length + 1) + at)),
  }))
}

function tokensOf(batch: readonly TrainingExample[]): readonly (readonly number[])[] {
  return batch.map(({ tokens }) => tokens)
}
