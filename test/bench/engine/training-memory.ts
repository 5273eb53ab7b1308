/**
 * What training takes beside running the same model: the most that was resident, each in a worker of its own that does nothing
 * else, on 4 sequences of 256 tokens.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createModelStore } from '#adapters/models/store.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { TrainedParameter } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { progress } from '../report.ts'
import { writeRandomModel } from './bench-model.ts'
import { type BenchCompute, type ComputeFolders, loadModel, startCompute } from './compute.ts'
import { adamw, everything, examples, maskOf, smallConfig } from './training.ts'

/** 27 million numbers: weights, not the runtime, are most of what is resident. */
const middleConfig: ModelConfig = {
  ...smallConfig,
  hiddenSize: 512,
  intermediateSize: 1408,
  headSize: 64,
  vocabularySize: 4096,
}
const batch = examples(4, 256)
const steps = 4

export async function measureTrainingMemory(): Promise<Record<string, number>> {
  const small = await measureModel('6.6 million', smallConfig)
  const middle = await measureModel('27 million', middleConfig)
  return {
    train_memory_ratio: Math.max(small.masked, middle.masked),
    train_memory_ratio_small: small.masked,
    train_memory_ratio_middle: middle.masked,
    dense_memory_ratio_small: small.dense,
    dense_memory_ratio_middle: middle.dense,
  }
}

async function measureModel(label: string, config: ModelConfig) {
  const folder = await mkdtemp(join(tmpdir(), 'quiltbee-bench-training-memory-'))
  try {
    await writeRandomModel(join(folder, 'model.gguf'), config, 'F32')
    const folders = { models: join(folder, 'models'), prepared: join(folder, 'prepared') }
    const store = createModelStore({ directory: folders.models })
    const { digest } = await store.import(join(folder, 'model.gguf'))
    await using parts = new AsyncDisposableStack()
    const model = parts.adopt(await store.open(digest), (opened) => opened.close())
    // Weights are prepared for the engine once a machine: that is neither running nor training.
    await peakOf(folders, (compute) => run(compute, model))
    const running = await peakOf(folders, (compute) => run(compute, model))
    const masked = await peakOf(folders, (compute) => train(compute, model, maskOf(config)))
    const dense = await peakOf(folders, (compute) => train(compute, model, everything(model)))
    const mebibytes = [running, masked, dense].map((bytes) => (bytes / 2 ** 20).toFixed(0)).join(', ')
    progress(`${label} numbers: the most resident when running, trained at a mask, trained whole: ${mebibytes} MiB`)
    return { masked: masked / running, dense: dense / running }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function peakOf(folders: ComputeFolders, work: (compute: BenchCompute) => Promise<void>): Promise<number> {
  await using compute = await startCompute(folders)
  await work(compute)
  const { peakBytes } = await compute.memory()
  if (peakBytes === null) throw new Error('this system does not say how much was resident')
  return peakBytes
}

/** The batch through all blocks at once, and each sequence's next token. */
async function run(compute: BenchCompute, model: ModelHandle): Promise<void> {
  await using loaded = await loadModel(compute.engine, model, { threads: 1, format: 'float32' })
  const { hiddenSize } = model.manifest.config
  for (let step = 0; step < steps; step++) {
    const members = batch.map(({ tokens }) => ({
      session: loaded.runner.openSession({ maxLength: tokens.length }),
      tokens: tokens.slice(0, -1),
    }))
    const hidden = await Promise.all(members.map(({ tokens }) => loaded.ends.embed(tokens)))
    const outputs = await loaded.runner.forward(
      members.map(({ session }, i) => ({ session, hidden: hidden[i] ?? new Float32Array() })),
    )
    for (const output of outputs) await loaded.ends.logits(output.slice(-hiddenSize))
    for (const { session } of members) session.dispose()
  }
}

async function train(
  { training }: BenchCompute,
  model: ModelHandle,
  parameters: readonly TrainedParameter[],
): Promise<void> {
  const trainee = await training.loadTrainee(model, { parameters, threads: 1 })
  for (let step = 0; step < steps; step++) await trainee.step(batch, adamw)
  await trainee.dispose()
}
