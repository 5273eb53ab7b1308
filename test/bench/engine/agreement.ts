/** What rounding the weights changes: the story that float32 must tell, and next tokens from 8 and 4 bits (acceptance 2). */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Engine, WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { progress } from '../report.ts'
import { loadModel, startCompute } from './compute.ts'
import { indexOfLargest } from './decoding.ts'
import { exportGguf } from './exported-model.ts'
import { startLlama } from './llama.ts'
import { heldOutWindows, openSeedling, seedlingFolder, seedlingTokenizer } from './seedling.ts'
import { compareStories } from './stories.ts'

type Figures = Record<string, number>

const positions = 2_000
const windowLength = 128

export async function measureAgreement(): Promise<Figures> {
  const folder = await mkdtemp(join(tmpdir(), 'quiltbee-bench-agreement-'))
  try {
    return { ...(await compareStories(folder)), ...(await compareFormats(folder)) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function compareFormats(folder: string): Promise<Figures> {
  const folders = { models: join(folder, 'none'), embedded: [seedlingFolder], prepared: join(folder, 'prepared') }
  await using compute = await startCompute(folders)
  await using parts = new AsyncDisposableStack()
  const model = parts.adopt(await openSeedling(folders.models), (opened) => opened.close())
  const windows = await heldOutWindows(model, Math.ceil(positions / windowLength), windowLength)
  const exact = await nextTokenLogits(compute.engine, model, 'float32', windows)
  const chosen = exact.map(indexOfLargest)
  const figures: Figures = {}
  for (const format of ['int8', 'int4'] as const) {
    const rounded = await nextTokenLogits(compute.engine, model, format, windows)
    figures[`top1_${format}`] = agreement(chosen, rounded.map(indexOfLargest))
    figures[`kl_${format}`] = mean(exact.map((logits, at) => divergence(logits, rounded[at] ?? logits)))
  }
  for (const dtype of ['F32', 'Q8_0', 'Q4_0'] as const) {
    const path = join(folder, `seedling-${dtype}.gguf`)
    await exportGguf(path, model, { dtype, tokenizer: await seedlingTokenizer() })
    figures[`llama_top1_${dtype.toLowerCase()}`] = agreement(chosen, await llamaNextTokens(path, windows))
  }
  for (const [name, value] of Object.entries(figures)) progress(`${name}: ${value.toPrecision(4)}`)
  return figures
}

/** (vocabulary,) for each of the windows' positions, the first `positions` of them. */
async function nextTokenLogits(
  engine: Engine,
  model: ModelHandle,
  format: WeightFormat,
  windows: readonly (readonly number[])[],
): Promise<readonly Float32Array[]> {
  await using loaded = await loadModel(engine, model, { threads: 1, format })
  const { vocabularySize } = model.manifest.config
  const all: Float32Array[] = []
  for (const window of windows) {
    const session = loaded.runner.openSession({ maxLength: window.length })
    const hidden = await session.forward(await loaded.ends.embed(window))
    const logits = await loaded.ends.logits(hidden)
    session.dispose()
    for (let at = 0; at < logits.length; at += vocabularySize) all.push(logits.subarray(at, at + vocabularySize))
  }
  return all.slice(0, positions)
}

async function llamaNextTokens(path: string, windows: readonly (readonly number[])[]): Promise<readonly number[]> {
  await using llama = await startLlama(path, { threads: 1, contextLength: 256 })
  const all: number[] = []
  for (const tokens of windows) all.push(...(await llama.ask({ kind: 'top1', tokens })).tokens)
  return all.slice(0, positions)
}

function agreement(expected: readonly number[], chosen: readonly number[]): number {
  return mean(expected.map((token, at) => Number(token === chosen[at])))
}

/** Kullback-Leibler divergence of the distribution that `q` gives from the one that `p` gives, in nats. */
function divergence(p: Float32Array, q: Float32Array): number {
  const [exact, rounded] = [logSoftmax(p), logSoftmax(q)]
  return exact.reduce((sum, logP, token) => sum + Math.exp(logP) * (logP - (rounded[token] ?? 0)), 0)
}

function logSoftmax(logits: Float32Array): Float64Array {
  const largest = logits[indexOfLargest(logits)] ?? 0
  const total = Float64Array.from(logits).reduce((sum, logit) => sum + Math.exp(logit - largest), 0)
  return Float64Array.from(logits, (logit) => logit - largest - Math.log(total))
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
