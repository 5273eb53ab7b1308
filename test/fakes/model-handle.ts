/** A model of any shape with random weights, in memory: the same seed gives the same model. */
import { createHash } from 'node:crypto'
import { digestSchema } from '#contracts/digest.ts'
import {
  type Dtype,
  dtypeBlocks,
  type ModelConfig,
  type ModelManifest,
  tensorNames,
} from '#contracts/model/manifest.ts'
import { ModelFormatError } from '#core/errors.ts'
import { blockShapes } from '#core/numerics/block.ts'
import type { ModelHandle, StoredTensor, Tokenizer } from '#core/ports/model-store.ts'
import { quantise } from '#test/helpers/gguf-quantise.ts'

export interface RandomModel extends ModelHandle {
  /** Names of the tensors read so far, in order. */
  readonly reads: readonly string[]
}

/** What each architecture adds to a tiny Llama; the window is short enough to matter within a few tokens. */
export const tinyRelatives = {
  llama: {},
  'llama with linear rope scaling': { ropeScaling: { kind: 'linear', factor: 4 } },
  'llama with llama3 rope scaling': {
    ropeTheta: 500_000,
    ropeScaling: {
      kind: 'llama3',
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContextLength: 64,
    },
  },
  mistral: { architecture: 'mistral', slidingWindow: 5 },
  qwen2: { architecture: 'qwen2', attentionBias: true, tiedHead: true },
  qwen3: { architecture: 'qwen3', queryKeyNorm: true, headSize: 12 },
} as const satisfies Readonly<Record<string, Partial<ModelConfig>>>

/** A tiny model; `changes` make it another one. */
export function tinyConfig(changes: Partial<ModelConfig> = {}): ModelConfig {
  return {
    architecture: 'llama',
    hiddenSize: 32,
    intermediateSize: 48,
    blockCount: 3,
    headCount: 4,
    kvHeadCount: 2,
    headSize: 16,
    vocabularySize: 40,
    contextLength: 600,
    rmsNormEpsilon: 1e-5,
    ropeTheta: 10_000,
    ropeStyle: 'half',
    tiedHead: false,
    ...changes,
  }
}

/**
 * Weights are uniform, of a size that keeps hidden states near 1; norms are near 1 and biases near 0. With one of GGUF's
 * block types the rows of matrices must be whole blocks, and vectors stay float32, as they do in GGUF files.
 */
export function randomModel(config: ModelConfig, seed: number, dtype: Dtype = 'F32'): RandomModel {
  const random = createRandom(seed)
  const tensors = new Map<string, StoredTensor>()
  for (const [name, shape] of tensorShapes(config)) {
    const stored = shape.length === 1 && dtypeBlocks[dtype].elements > 1 ? 'F32' : dtype
    tensors.set(name, { name, dtype: stored, shape, bytes: quantise(stored, randomValues(name, shape, random)) })
  }
  const reads: string[] = []
  return {
    manifest: manifestOf(config, seed, [...tensors.values()]),
    reads,
    async readTensor(name, { signal } = {}) {
      signal?.throwIfAborted()
      const tensor = tensors.get(name)
      if (!tensor) throw new ModelFormatError(name, 'no such tensor')
      reads.push(name)
      return tensor
    },
    tokenizer: async () => numberTokenizer(config.vocabularySize),
    async close() {},
  }
}

/** Numbers in [-1, 1), the same for the same seed (Steele & Vigna's splitmix32 mixer). */
export function createRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) / 2 ** 31
  }
}

function tensorShapes(config: ModelConfig): [string, readonly number[]][] {
  const matrix = [config.vocabularySize, config.hiddenSize]
  const shapes: [string, readonly number[]][] = [
    [tensorNames.embedding, matrix],
    [tensorNames.finalNorm, [config.hiddenSize]],
  ]
  if (!config.tiedHead) shapes.push([tensorNames.head, matrix])
  for (let index = 0; index < config.blockCount; index++) {
    const names = tensorNames.block(index)
    for (const [role, shape] of Object.entries(blockShapes(config))) {
      shapes.push([names[role as keyof typeof names], shape])
    }
  }
  return shapes
}

function randomValues(name: string, shape: readonly number[], random: () => number): Float32Array {
  const length = shape.reduce((product, dimension) => product * dimension, 1)
  const scale = shape.length === 1 ? 0.3 : 1.7 / Math.sqrt(shape.at(-1) ?? 1)
  const mean = shape.length === 1 && !name.endsWith('.bias') ? 1 : 0
  return Float32Array.from({ length }, () => mean + scale * random())
}

function manifestOf(config: ModelConfig, seed: number, tensors: readonly StoredTensor[]): ModelManifest {
  const sha256 = (bytes: Uint8Array | string) => digestSchema.parse(createHash('sha256').update(bytes).digest('hex'))
  const entries = tensors.map(({ name, dtype, shape, bytes }) => ({
    name,
    dtype,
    shape: [...shape],
    sha256: sha256(bytes),
  }))
  return {
    formatVersion: 1,
    digest: sha256(JSON.stringify([config, entries])),
    name: `random-${seed}`,
    config,
    tensors: entries,
    tokenizer: { kind: 'huggingface', beginToken: null, endTokens: [], sha256: sha256('numbers') },
    licence: null,
  }
}

/** A language of numbers: each token is its id in decimal, with a space before it; other text is left out. */
function numberTokenizer(vocabularySize: number): Tokenizer {
  const decode = (tokens: readonly number[]) => tokens.map((token) => ` ${token}`).join('')
  return {
    vocabularySize,
    beginToken: null,
    endTokens: [],
    encode: (text) => [...text.matchAll(/\d+/g)].map(([digits]) => Number(digits)).filter((id) => id < vocabularySize),
    decode,
    decodeStream: () => ({ push: (token) => decode([token]), end: () => '' }),
  }
}
