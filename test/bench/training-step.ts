/**
 * One training step of a model of 6.6 million numbers, 4 x 128 tokens: all of it by AdamW, and half a percent of the block
 * matrices by AdamW, in turn. `node test/bench/training-step.ts [threads] [repetitions]`
 */
import { blockTensors, elementCount, expectedTensors } from '#core/models/expected-tensors.ts'
import type { TrainedParameter } from '#core/ports/engine.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { createRandom, randomModel, tinyConfig } from '#test/fakes/model-handle.ts'

const [threads = 1, repetitions = 12] = process.argv.slice(2).map(Number)
const keepRatio = 0.005

const config = tinyConfig({
  hiddenSize: 256,
  intermediateSize: 688,
  blockCount: 8,
  headCount: 8,
  kvHeadCount: 8,
  headSize: 32,
  vocabularySize: 1024,
  contextLength: 512,
  tiedHead: true,
})
const random = createRandom(1)
const uniform = () => (random() + 1) / 2
const batch = Array.from({ length: 4 }, () => ({
  tokens: Array.from({ length: 129 }, () => Math.floor(1024 * uniform())),
}))
const everything: TrainedParameter[] = expectedTensors(config).map(({ name }) => ({ kind: 'tensor', name }))
const mask: TrainedParameter[] = Array.from({ length: config.blockCount }, (_, block) => blockTensors(config, block))
  .flat()
  .filter(({ shape }) => shape.length === 2)
  .map(({ name, shape }) => ({ kind: 'entries', name, indices: randomIndices(elementCount(shape)) }))

const adamw = { kind: 'adamw', learningRate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 } as const
const engine = createTrainingEngine()
const dense = await engine.loadTrainee(randomModel(config, 1), { parameters: everything, threads })
const masked = await engine.loadTrainee(randomModel(config, 1), { parameters: mask, threads })
const timesMs: Record<'dense' | 'masked' | 'forward', number[]> = { dense: [], masked: [], forward: [] }
for (let i = 0; i < repetitions + 2; i++) {
  timesMs.dense.push(await timed(() => dense.step(batch, adamw)))
  timesMs.masked.push(await timed(() => masked.step(batch, adamw)))
  timesMs.forward.push(await timed(() => dense.loss(batch)))
}
for (const [what, all] of Object.entries(timesMs)) {
  const { minimum, median } = summary(all)
  const rate = Math.round((512 / minimum) * 1000)
  console.log(`${what}: minimum ${minimum.toFixed(1)} ms (${rate} tokens/s), median ${median.toFixed(1)} ms`)
}
const [denseTimes, maskedTimes] = [summary(timesMs.dense), summary(timesMs.masked)]
const ratio = (which: 'minimum' | 'median') => (maskedTimes[which] / denseTimes[which]).toFixed(3)
console.log(`masked over dense: minima ${ratio('minimum')}, medians ${ratio('median')}`)
console.log(`optimizer state: ${dense.optimizerStateBytes} bytes, masked ${masked.optimizerStateBytes}`)
await Promise.all([dense.dispose(), masked.dispose()])

function randomIndices(length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, i) => i).filter(() => uniform() < keepRatio)
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await work()
  return performance.now() - startMs
}

/** Without the first two, in which graphs are made. */
function summary(all: readonly number[]) {
  const sorted = all.slice(2).sort((a, b) => a - b)
  return { minimum: sorted[0] ?? Number.NaN, median: sorted[sorted.length >> 1] ?? Number.NaN }
}
