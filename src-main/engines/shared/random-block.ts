/**
 * A model of one block with random weights: for trying and measuring a backend where no model is at hand. Tensors are made
 * when they are read, so the block is never in memory beside what the backend makes of it.
 */
import { digestSchema } from '#contracts/digest.ts'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { blockShapes } from '#core/numerics/block.ts'
import type { ModelHandle, StoredTensor } from '#core/ports/model-store.ts'

/** Random numbers are drawn once and laid end to end, from another place for each tensor: a prime, so rows differ. */
const drawnCount = 65_537

/** The same weights for the same shape: uniform, of a size that keeps products near their input; gains are near 1. */
export function createRandomBlock(config: ModelConfig): ModelHandle {
  const oneBlock = { ...config, blockCount: 1 }
  const drawn = drawUniform(drawnCount)
  const shapes = blockTensorShapes(oneBlock)
  return {
    manifest: {
      formatVersion: 1,
      digest: digestSchema.parse('0'.repeat(64)),
      name: 'random-block',
      config: oneBlock,
      tensors: [],
      tokenizer: { kind: 'huggingface', beginToken: null, endTokens: [], sha256: digestSchema.parse('0'.repeat(64)) },
      licence: null,
    },
    async readTensor(name, { signal } = {}) {
      signal?.throwIfAborted()
      const index = shapes.findIndex(([candidate]) => candidate === name)
      const shape = shapes[index]?.[1]
      if (shape === undefined) throw new ModelFormatError(name, 'a random block has no such tensor')
      return randomTensor(name, shape, drawn, index * 7_919)
    },
    async tokenizer() {
      throw new ModelUnsupportedError('a random block has no tokenizer')
    },
    async close() {},
  }
}

function blockTensorShapes(config: ModelConfig): (readonly [string, readonly number[]])[] {
  const names = tensorNames.block(0)
  return Object.entries(blockShapes(config)).map(([role, shape]) => [names[role as keyof typeof names], shape] as const)
}

function randomTensor(name: string, shape: readonly number[], drawn: Float32Array, start: number): StoredTensor {
  const values = new Float32Array(shape.reduce((product, dimension) => product * dimension, 1))
  const isVector = shape.length === 1
  const scale = isVector ? 0.1 : Math.sqrt(3 / (shape[1] ?? 1))
  const mean = isVector && !name.endsWith('.bias') ? 1 : 0
  const scaled = drawn.map((value) => mean + scale * value)
  let from = start % drawnCount
  for (let at = 0; at < values.length; ) {
    const piece = scaled.subarray(from, from + values.length - at)
    values.set(piece, at)
    at += piece.length
    from = 0
  }
  return { name, dtype: 'F32', shape, bytes: new Uint8Array(values.buffer) }
}

/** Numbers in [-1, 1), always the same (Marsaglia 2003, xorshift). */
function drawUniform(count: number): Float32Array {
  let state = 0x9e3779b9
  return Float32Array.from({ length: count }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state / 2 ** 31
  })
}
