/** Patches that change a share of all block matrices at random places. */
import { createHash } from 'node:crypto'
import { digestSchema } from '#contracts/digest.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { blockTensors, elementCount } from '#core/models/expected-tensors.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import type { PatchWeights, SparseDelta } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { createRandom } from '#test/fakes/model-handle.ts'

export interface RandomMask {
  readonly tensor: string
  readonly indices: Uint32Array
}

/** Ascending places in every matrix of every block, on average `density` of them. */
export function randomMask(config: ModelConfig, density: number, seed: number): RandomMask[] {
  const random = createRandom(seed)
  const blocks = Array.from({ length: config.blockCount }, (_, index) => blockTensors(config, index)).flat()
  return blocks
    .filter(({ shape }) => shape.length === 2)
    .map(({ name, shape }) => ({ tensor: name, indices: randomIndices(elementCount(shape), density, random) }))
}

/** Gaps are uniform with the mean that the density asks for. */
function randomIndices(length: number, density: number, random: () => number): Uint32Array {
  const widest = Math.round(2 / density) - 1
  const gap = () => 1 + Math.floor(((random() + 1) / 2) * widest)
  const indices: number[] = []
  for (let at = gap() - 1; at < length; at += gap()) indices.push(at)
  return Uint32Array.from(indices)
}

/** Changes from -size to size. */
export function randomPatch(
  config: ModelConfig,
  { density, size, seed }: { readonly density: number; readonly size: number; readonly seed: number },
): PatchWeights {
  const random = createRandom(seed + 1)
  const deltas = randomMask(config, density, seed).map(
    ({ tensor, indices }): SparseDelta => ({
      tensor,
      indices,
      values: Float32Array.from(indices, () => size * random()),
    }),
  )
  return { deltas, scales: [] }
}

/** The model with the patch's changes added to its weights: another model, in float32, that closes with the first. */
export function merged(model: ModelHandle, patch: PatchWeights, label: string): ModelHandle {
  const digest = digestSchema.parse(createHash('sha256').update(`${model.manifest.digest} ${label}`).digest('hex'))
  const deltas = new Map(patch.deltas.map((delta) => [delta.tensor, delta]))
  return {
    ...model,
    manifest: { ...model.manifest, digest },
    async readTensor(name, options) {
      const stored = await model.readTensor(name, options)
      const delta = deltas.get(name)
      if (delta === undefined) return stored
      const floats = decodeFloats(stored.dtype, stored.bytes)
      for (const [at, index] of delta.indices.entries()) floats[index] = (floats[index] ?? 0) + (delta.values[at] ?? 0)
      return { ...stored, dtype: 'F32', bytes: new Uint8Array(floats.buffer) }
    },
    async close() {},
  }
}
