/**
 * The random Llama that speed is measured on, as a GGUF file for llama.cpp and imported into a model store for us. Both are
 * kept under the system's temporary folder: they are gigabytes and always the same.
 */
import { existsSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createModelStore } from '#adapters/models/store.ts'
import { type Dtype, type ModelConfig, storedBytes } from '#contracts/model/manifest.ts'
import { elementCount, endTensors, expectedTensors } from '#core/models/expected-tensors.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import {
  anyPieces,
  type GgufTensorPlan,
  ggufName,
  randomFill,
  scoredMetadata,
  shapeMetadata,
  writeGguf,
} from '#test/helpers/gguf-writer.ts'
import { progress } from '../report.ts'
import type { ComputeFolders } from './compute.ts'

/** To be counted up when what is written changes. */
const version = 1
const root = join(tmpdir(), `quiltbee-bench-engine-${version}`)
export const benchFolders: ComputeFolders = { models: join(root, 'models'), prepared: join(root, 'prepared') }

export const benchConfig: ModelConfig = {
  architecture: 'llama',
  hiddenSize: 2048,
  intermediateSize: 5632,
  blockCount: 8,
  headCount: 32,
  kvHeadCount: 4,
  headSize: 64,
  vocabularySize: 32_000,
  contextLength: 2048,
  rmsNormEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeStyle: 'interleaved',
  tiedHead: false,
}

export interface BenchModel extends AsyncDisposable {
  readonly ggufPath: string
  readonly model: ModelHandle
  /** Of the tensors in the file. */
  readonly tensorBytes: number
  /** Of them the embedding, which is looked up and never multiplied with. */
  readonly embeddingBytes: number
}

export async function openBenchModel(dtype: 'Q8_0' | 'Q4_0'): Promise<BenchModel> {
  await mkdir(root, { recursive: true })
  const ggufPath = join(root, `random-${dtype}.gguf`)
  if (!existsSync(ggufPath)) {
    progress(`writing the random Llama as ${dtype} (once, some minutes)`)
    await writeRandomModel(`${ggufPath}.partial`, benchConfig, dtype)
    await rename(`${ggufPath}.partial`, ggufPath)
  }
  const model = await openImported(ggufPath, `bench-${dtype}`)
  const [embedding] = endTensors(benchConfig)
  return {
    ggufPath,
    model,
    tensorBytes: bytesOf(dtype, expectedTensors(benchConfig)),
    embeddingBytes: embedding === undefined ? 0 : bytesOf(dtype, [embedding]),
    [Symbol.asyncDispose]: () => model.close(),
  }
}

async function openImported(path: string, name: string): Promise<ModelHandle> {
  const store = createModelStore({ directory: benchFolders.models })
  const known = (await store.list()).some((manifest) => manifest.name === name)
  if (!known) await store.import(path, { name })
  return store.open(name)
}

/** Weights of a size that keeps hidden states and logits near 1; vectors are ones, and float32 as in any GGUF file. */
export function writeRandomModel(path: string, config: ModelConfig, dtype: Dtype): Promise<void> {
  const tensors = expectedTensors(config).map(({ name, shape }, index): GgufTensorPlan => {
    if (shape.length === 1) return { name: ggufName(name), dtype: 'F32', shape, fill: (chunk) => chunk.fill(1) }
    const fill = randomFill(1 + 2 * index, 1.7 / Math.sqrt(shape.at(-1) ?? 1))
    return { name: ggufName(name), dtype, shape, fill }
  })
  const metadata = { ...shapeMetadata(config), ...scoredMetadata(anyPieces(config.vocabularySize)) }
  return writeGguf(path, { metadata, tensors })
}

function bytesOf(dtype: Dtype, tensors: readonly { readonly shape: readonly number[] }[]): number {
  return tensors.reduce(
    (sum, { shape }) => sum + storedBytes(shape.length === 1 ? 'F32' : dtype, elementCount(shape)),
    0,
  )
}
