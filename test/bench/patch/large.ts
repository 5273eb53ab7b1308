/** A patch of half a percent of a model of a billion parameters, at random places: whole files, packed and read again. */
import { bytesInMemory } from '#contracts/patch-file/byte-source.ts'
import { decodeIndices, encodeIndices } from '#contracts/patch-file/index-codec.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { openPatch } from '#contracts/patch-file/read-patch.ts'
import { decodeValues, encodeValues } from '#contracts/patch-file/value-codec.ts'
import { type WrittenPatch, writePatch } from '#contracts/patch-file/write-patch.ts'
import { exampleDescription, signer, verifier } from '#test/contracts/patch-file/example-patches.ts'
import { randomPlaces } from '#test/contracts/patch-file/masks.ts'
import { progress } from '../report.ts'
import { uniformNumbers } from './uniform.ts'

const tensors = 200
const shape = [2500, 2000]
const parameters = tensors * 2500 * 2000
const density = 0.005

export async function measureLarge(): Promise<Record<string, number>> {
  const content = randomContent()
  const entries = content.deltas.reduce((sum, { indices }) => sum + indices.length, 0)
  progress(`${entries} entries of ${parameters}`)
  const codecs = measureCodecs(content)
  const before = process.memoryUsage().rss
  const own = await measureFile(content, false)
  const extraBytes = process.resourceUsage().maxRSS * 1024 - before
  const shared = await measureFile(content, true)
  return {
    ...codecs,
    bits_per_param_own: (8 * own.byteLength) / parameters,
    bits_per_param_shared: (8 * shared.byteLength) / parameters,
    file_write_s: own.writeMs / 1000,
    file_read_s: own.readMs / 1000,
    file_extra_memory_bytes: extraBytes,
    naive_bits_per_param: (64 * entries) / parameters,
    git_theta_csr_bits_per_param: (64 * entries) / parameters,
    peft_shira_bits_per_param: (96 * entries) / parameters,
  }
}

/** Indices and int8 values alone: no digests, no signature. */
function measureCodecs({ deltas }: PatchContent): Record<string, number> {
  const before = process.memoryUsage().rss
  const start = performance.now()
  const packed = deltas.map(({ indices, values }) => ({
    indices: encodeIndices(indices, shape),
    values: encodeValues(values, 'int8'),
    entries: indices.length,
  }))
  const encoded = performance.now()
  const read = packed.map(({ indices, values, entries }) => ({
    indices: decodeIndices(indices, { shape, entries }),
    values: decodeValues(values, { format: 'int8', entries }),
  }))
  const decoded = performance.now()
  if (read.some(({ indices }, i) => indices.at(-1) !== deltas[i]?.indices.at(-1)))
    throw new Error('another mask came back')
  return {
    encode_s: (encoded - start) / 1000,
    decode_s: (decoded - encoded) / 1000,
    extra_memory_bytes: process.resourceUsage().maxRSS * 1024 - before,
  }
}

async function measureFile(content: PatchContent, sharedMask: boolean) {
  const start = performance.now()
  const written = await writePatch(content, exampleDescription(), {
    signer,
    valueFormat: 'int8',
    fisher: false,
    sharedMask,
  })
  const writeMs = performance.now() - start
  const source = bytesInMemory(joined(written))
  const opened = performance.now()
  const reader = await openPatch(source, verifier)
  await reader.readContent({ sharedMask: content.deltas })
  return { byteLength: written.byteLength, writeMs, readMs: performance.now() - opened }
}

function joined({ head, sections }: WrittenPatch): Uint8Array {
  return Buffer.concat([head, ...sections])
}

function randomContent(): PatchContent {
  const uniform = uniformNumbers(1)
  const deltas = Array.from({ length: tensors }, (_, i) => {
    const indices = randomPlaces(2500 * 2000, density, uniform)
    const values = Float32Array.from(indices, () => 0.01 * (uniform() + uniform() + uniform() - 1.5))
    return {
      tensor: `model.layers.${String(i).padStart(3, '0')}.mlp.up_proj.weight`,
      shape,
      indices,
      values,
      fisher: null,
    }
  })
  return { deltas, scales: [], factors: [] }
}
