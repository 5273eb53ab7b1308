import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseHuggingFaceConfig } from '#adapters/models/huggingface-config.ts'
import { huggingFaceConfig } from '#adapters/models/huggingface-writer.ts'
import { createPatchInterop } from '#adapters/models/patch-interop.ts'
import { createModelStore } from '#adapters/models/store.ts'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { PatchMismatchError } from '#core/errors.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import { patchTensors } from '#core/patches/patch-tensors.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { content, delta, factors, scale } from '#test/core/patches/parts.ts'
import { randomModel, tinyRelatives, tinyConfig as tinyShape } from '#test/fakes/model-handle.ts'
import { useTemporaryFolders, writeHuggingFaceFolder, writeLlama2cFolder } from './tiny-models.ts'

const newFolder = useTemporaryFolders()
const names = tensorNames.block(0)

const patch = content({
  deltas: [delta(tensorNames.embedding, [264, 8], [0, 2_111], [0.5, -0.25])],
  scales: [scale(0, 'key', [1, 2, 3, 4])],
  factors: [factors(names.gate, [12, 8], 2)],
})

const opened: ModelHandle[] = []
afterAll(() => Promise.all(opened.map((model) => model.close())))

/** A store with the tiny model in it. */
async function storeWith(write: (folder: string) => Promise<string>) {
  const directory = await newFolder()
  const models = createModelStore({ directory })
  const { digest } = await models.import(await write(await newFolder()), { name: 'base' })
  const open = async (name: string) => {
    const model = await models.open(name)
    opened.push(model)
    return model
  }
  return { models, digest, open, interop: createPatchInterop({ directory }) }
}

describe('a model written with a patch in its weights', () => {
  it('is a Hugging Face folder that can be imported, with the patched numbers', async () => {
    const readme = '---\nlicense: mit\n---\n'
    const { models, digest, open, interop } = await storeWith((folder) =>
      writeHuggingFaceFolder(folder, 'tiny', { readme }),
    )
    const base = await open(digest)
    const path = join(await newFolder(), 'patched')
    const progress: number[] = []
    const onProgress = ({ bytesDone, bytesTotal }: { bytesDone: number; bytesTotal: number }) =>
      progress.push(bytesDone / bytesTotal)
    const written = await interop.writePatchedModel(base, [patch], { path, onProgress })
    expect(written).toMatchObject({ path, importable: true })
    expect(progress.at(-1)).toBe(1)

    const imported = await models.import(path)
    expect(imported).toMatchObject({ config: base.manifest.config, licence: 'mit' })
    expect(imported.digest).not.toBe(digest)
    const patched = await open(imported.digest)
    const expected = patchTensors([patch], base.manifest.config)
    for (const { name, shape } of base.manifest.tensors) {
      const values = decodeFloats('F32', (await base.readTensor(name)).bytes)
      expected.apply(name, shape, values)
      expect(decodeFloats('F32', (await patched.readTensor(name)).bytes)).toEqual(values)
    }
  })

  it('keeps what is not changed as it is stored', async () => {
    const { models, digest, open, interop } = await storeWith((folder) => writeHuggingFaceFolder(folder, 'tiny'))
    const half = await open(digest)
    const asHalves = {
      ...half,
      manifest: {
        ...half.manifest,
        tensors: half.manifest.tensors.map((entry) =>
          entry.name === names.up ? { ...entry, dtype: 'F16' as const } : entry,
        ),
      },
      readTensor: async (name: string) => {
        const tensor = await half.readTensor(name)
        return name === names.up ? { ...tensor, dtype: 'F16' as const, bytes: tensor.bytes.subarray(0, 192) } : tensor
      },
    }
    const path = join(await newFolder(), 'patched')
    await interop.writePatchedModel(asHalves, [patch], { path })
    const imported = await open((await models.import(path)).digest)
    const tensor = await imported.readTensor(names.up)
    expect([tensor.dtype, tensor.bytes]).toEqual(['F16', (await asHalves.readTensor(names.up)).bytes])
  })

  it('comes from another format in Hugging Face’s order of heads, with the vocabulary as it was', async () => {
    const { digest, open, interop } = await storeWith(writeLlama2cFolder)
    const base = await open(digest)
    const path = join(await newFolder(), 'patched')
    const written = await interop.writePatchedModel(base, [], { path })
    expect(written.importable).toBe(false)
    expect((await readdir(path)).sort()).toEqual(['README.md', 'config.json', 'model.safetensors', 'tokenizer.bin'])
    const { config } = parseHuggingFaceConfig(await readFile(join(path, 'config.json')))
    expect(config).toEqual({ ...base.manifest.config, ropeStyle: 'half' })
    const file = await readFile(join(path, 'model.safetensors'))
    const headerBytes = Number(file.readBigUInt64LE(0))
    const [begin, end] = JSON.parse(file.subarray(8, 8 + headerBytes).toString())[names.key].data_offsets
    const rows = decodeFloats('F32', file.subarray(8 + headerBytes + begin, 8 + headerBytes + end))
    const before = decodeFloats('F32', (await base.readTensor(names.key)).bytes)
    const row = (values: Float32Array, index: number) => [...values.subarray(8 * index, 8 * index + 8)]
    expect([0, 1, 2, 3].map((index) => row(rows, index))).toEqual([0, 2, 1, 3].map((index) => row(before, index)))
  })

  it('is not begun for a patch that does not fit', async () => {
    const { digest, open, interop } = await storeWith((folder) => writeHuggingFaceFolder(folder, 'tiny'))
    const parent = await newFolder()
    const misfit = content({ deltas: [delta('model.other', [1], [0], [1])] })
    const writing = interop.writePatchedModel(await open(digest), [misfit], { path: join(parent, 'patched') })
    await expect(writing).rejects.toThrow(PatchMismatchError)
    expect(await readdir(parent)).toEqual([])
  })

  it('leaves nothing behind when it is stopped', async () => {
    const { digest, open, interop } = await storeWith((folder) => writeHuggingFaceFolder(folder, 'tiny'))
    const parent = await newFolder()
    const controller = new AbortController()
    const options = { path: join(parent, 'patched'), signal: controller.signal, onProgress: () => controller.abort() }
    await expect(interop.writePatchedModel(await open(digest), [patch], options)).rejects.toThrow(/abort/)
    expect(await readdir(parent)).toEqual([])
  })
})

describe('the config of a written model', () => {
  it.each(Object.entries(tinyRelatives))('of %s is read as what it was', (_, changes: Partial<ModelConfig>) => {
    const { manifest } = randomModel(tinyShape(changes), 1)
    const tokenizer = { ...manifest.tokenizer, beginToken: 1, endTokens: [2, 3] }
    const written = huggingFaceConfig({ config: manifest.config, tokenizer })
    const parsed = parseHuggingFaceConfig(new TextEncoder().encode(JSON.stringify(written)))
    expect(parsed).toEqual({ config: manifest.config, beginToken: 1, endTokens: [2, 3] })
  })
})

describe('a sparse update', () => {
  it('has four arrays a tensor, as git-theta keeps a CSR matrix of one row', async () => {
    const interop = createPatchInterop({ directory: await newFolder() })
    const path = join(await newFolder(), 'update.safetensors')
    const deltas = [delta('model.norm.weight', [8], [1, 6], [0.5, -2])]
    const { bytes } = await interop.writeSparseUpdate(content({ deltas }), { path })
    const file = await readFile(path)
    expect(bytes).toBe(file.length)
    const headerBytes = Number(file.readBigUInt64LE(0))
    const header = JSON.parse(file.subarray(8, 8 + headerBytes).toString())
    const data = file.subarray(8 + headerBytes)
    expect(header).toEqual({
      'model.norm.weight.data': { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
      'model.norm.weight.indices': { dtype: 'I32', shape: [2], data_offsets: [8, 16] },
      'model.norm.weight.indptr': { dtype: 'I32', shape: [2], data_offsets: [16, 24] },
      'model.norm.weight.shape': { dtype: 'I64', shape: [1], data_offsets: [24, 32] },
    })
    expect([data.readFloatLE(0), data.readFloatLE(4)]).toEqual([0.5, -2])
    expect([8, 12, 16, 20].map((offset) => data.readInt32LE(offset))).toEqual([1, 6, 0, 2])
    expect(data.readBigInt64LE(24)).toBe(8n)
  })

  it('has no form for anything else', async () => {
    const interop = createPatchInterop({ directory: await newFolder() })
    const path = join(await newFolder(), 'update.safetensors')
    await expect(interop.writeSparseUpdate(patch, { path })).rejects.toThrow(/sparse changes only/)
  })
})
