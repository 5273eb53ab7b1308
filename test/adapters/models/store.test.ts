import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { createModelStore, decideImport, type ModelStoreInit } from '#adapters/models/store.ts'
import { CodedError, InvalidInputError } from '#contracts/errors.ts'
import { type ModelManifest, modelManifestSchema } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelNotFoundError } from '#core/errors.ts'
import { storedBytes } from '#core/models/block-size.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { hasShared, sharedPath } from '#test/helpers/shared.ts'
import {
  llama2cCheckpoint,
  safetensorsBytes,
  shardedSafetensors,
  tinyConfig,
  tinyHuggingFaceConfig,
  tinySafetensors,
  tinyTokenizer,
  useTemporaryFolders,
  writeHuggingFaceFolder,
  writeLlama2cFolder,
} from './tiny-models.ts'

const newFolder = useTemporaryFolders()
const seedlingDigest = '9dd6899c2d909e1524771eb87384e7781a81ff8f8fabba37272728990608a504'
const resources = resolve(import.meta.dirname, '../../../resources/models')

async function newStore(init: Partial<ModelStoreInit> = {}) {
  const directory = join(await newFolder(), 'models')
  return { directory, store: createModelStore({ directory, ...init }) }
}

async function tinyFolder(name = 'tiny', parts: Parameters<typeof writeHuggingFaceFolder>[2] = {}) {
  return writeHuggingFaceFolder(await newFolder(), name, parts)
}

/** The same shape, other weights. */
function otherWeights(): Uint8Array {
  const { header, data } = tinySafetensors()
  return safetensorsBytes(
    header,
    data.map((byte) => byte ^ 1),
  )
}

async function readAll(store: ReturnType<typeof createModelStore>, name: string): Promise<ModelManifest> {
  const model = await store.open(name)
  try {
    for (const { name: tensor, shape } of expectedTensors(model.manifest.config)) {
      expect((await model.readTensor(tensor)).shape).toEqual(shape)
    }
    await model.tokenizer()
    return model.manifest
  } finally {
    await model.close()
  }
}

describe('importing', () => {
  it('keeps a copy of a Hugging Face folder that outlives the original’s name and order', async () => {
    const { directory, store } = await newStore()
    const manifest = await store.import(await tinyFolder('Tiny model'))
    expect(manifest).toMatchObject({ name: 'Tiny-model', config: tinyConfig, licence: null })
    expect(modelManifestSchema.parse(manifest)).toEqual(manifest)
    expect(await readdir(directory)).toEqual([manifest.digest])
    expect(await readAll(store, 'Tiny-model')).toEqual(manifest)
    expect(await store.list()).toEqual([manifest])
  })

  it('keeps the bytes of every tensor as they were', async () => {
    const { store } = await newStore()
    const { header, data } = tinySafetensors()
    await store.import(await tinyFolder())
    const model = await store.open('tiny')
    for (const [name, { data_offsets }] of Object.entries(header)) {
      const { bytes } = await model.readTensor(name)
      expect(Buffer.from(bytes).equals(data.subarray(data_offsets[0], data_offsets[1]))).toBe(true)
    }
    await model.close()
  })

  it('makes one file of the several of a Qwen2, biases and all', async () => {
    const { directory, store } = await newStore()
    const config = { ...tinyConfig, architecture: 'qwen2', attentionBias: true } as const
    const { index, files } = shardedSafetensors(tinySafetensors(config), 3)
    const folder = await tinyFolder('qwen', {
      config: tinyHuggingFaceConfig({ model_type: 'qwen2', architectures: ['Qwen2ForCausalLM'] }),
      weights: null,
      files: { ...files, 'model.safetensors.index.json': index },
    })
    const manifest = await store.import(folder)
    expect(manifest.config).toEqual(config)
    expect((await readdir(join(directory, manifest.digest))).sort()).toEqual([
      'manifest.json',
      'model.safetensors',
      'tokenizer.json',
    ])
    expect(await readAll(store, 'qwen')).toEqual(manifest)
  })

  it('turns a llama2.c checkpoint into the same kind of files', async () => {
    const { directory, store } = await newStore()
    const path = await writeLlama2cFolder(await newFolder())
    const manifest = await store.import(path, { name: 'c' })
    expect((await readdir(join(directory, manifest.digest))).sort()).toEqual([
      'manifest.json',
      'model.safetensors',
      'tokenizer.bin',
    ])
    expect(await readAll(store, 'c')).toEqual(manifest)
  })

  it('gives one digest to the same tensors, whatever their order, extras and metadata', async () => {
    const { store } = await newStore()
    const first = await store.import(await tinyFolder('first'))
    const { header, data } = tinySafetensors(tinyConfig, [{ name: 'model.rotary_emb.inv_freq', shape: [2] }])
    const weights = safetensorsBytes({ __metadata__: { format: 'pt' }, ...header }, data)
    const second = await (await newStore()).store.import(await tinyFolder('second', { weights }))
    expect(second.digest).toBe(first.digest)
  })

  it('tells how far it is, up to the last byte', async () => {
    const { store } = await newStore()
    const onProgress = vi.fn()
    const manifest = await store.import(await tinyFolder(), { onProgress })
    const bytesTotal = storedBytes(manifest)
    expect(onProgress).toHaveBeenLastCalledWith({ bytesDone: bytesTotal, bytesTotal })
  })

  it('can be cancelled, and then leaves nothing', async () => {
    const { directory, store } = await newStore()
    const controller = new AbortController()
    const importing = store.import(await tinyFolder(), {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    })
    await expect(importing).rejects.toMatchObject({ name: 'AbortError' })
    expect(await readdir(directory)).toEqual([])
  })

  it('says that the disk is full before it begins', async () => {
    const { directory, store } = await newStore({ freeBytes: async () => 1000 })
    await expect(store.import(await tinyFolder())).rejects.toMatchObject({
      code: 'storage-failed',
      params: { what: 'no space left on the disk', freeBytes: 1000, neededBytes: expect.any(Number) },
    })
    expect(await readdir(directory)).toEqual([])
  })

  it('goes on when the file system does not say how much is free', async () => {
    const { store } = await newStore({ freeBytes: async () => null })
    await store.import(await tinyFolder())
  })

  it.each([
    ['nothing', 'nothing-here', InvalidInputError],
    ['an empty folder', '.', InvalidInputError],
    ['a file of another kind', 'model.onnx', InvalidInputError],
    ['a broken checkpoint', 'broken.bin', ModelFormatError],
    ['a path with a NUL', 'a\0b', InvalidInputError],
  ])('refuses %s by name', async (_what, path, kind) => {
    const { store } = await newStore()
    const folder = await newFolder()
    if (path !== '.') await writeFile(join(folder, 'model.onnx'), 'ONNX')
    if (path === 'broken.bin') await writeFile(join(folder, path), 'short')
    await expect(store.import(join(folder, path))).rejects.toBeInstanceOf(kind)
    expect(await store.list()).toEqual([])
  })

  it.skipIf(!hasShared('models/stories260K'))('reads stories260K (needs ../shared)', async () => {
    const { store } = await newStore()
    const manifest = await store.import(sharedPath('models/stories260K'))
    expect(manifest).toMatchObject({
      name: 'stories260K',
      digest: 'eb5c23931965a35bfe8feb12222da753a63cd7ed2d7b305374d556c83a5c445d',
    })
    expect(await readAll(store, 'stories260K')).toEqual(manifest)
  })
})

describe('importing files of which bytes were changed or lost', () => {
  const change = fc.record({
    file: fc.nat(2),
    cut: fc.nat(4),
    edits: fc.array(fc.tuple(fc.nat(1 << 16), fc.nat(255)), { maxLength: 3 }),
  })

  it('gives a whole model or a named error, and never half of one', async () => {
    const { store } = await newStore()
    const parent = await newFolder()
    let runs = 0
    const names = ['config.json', 'model.safetensors', 'tokenizer.json']
    await fc.assert(
      fc.asyncProperty(change, async ({ file, cut, edits }) => {
        const folder = await writeHuggingFaceFolder(parent, `run-${runs++}`)
        await damage(join(folder, names[file] ?? ''), cut, edits)
        try {
          await readAll(store, (await store.import(folder)).digest)
        } catch (error) {
          expect(error).toBeInstanceOf(CodedError)
        }
      }),
      { numRuns: 60 },
    )
  })

  /** Overwrites bytes within the first few thousand, and drops `cut` from the end. */
  async function damage(path: string, cut: number, edits: readonly (readonly [number, number])[]): Promise<void> {
    const bytes = await readFile(path)
    for (const [at, value] of edits) bytes[at % Math.min(bytes.length, 2048)] = value
    await writeFile(path, bytes.subarray(0, bytes.length - cut))
  }
})

describe('importing again', () => {
  it('changes nothing for the same model', async () => {
    const { directory, store } = await newStore()
    const folder = await tinyFolder()
    const manifest = await store.import(folder)
    const file = join(directory, manifest.digest, 'manifest.json')
    const before = await stat(file, { bigint: true })
    expect(await store.import(folder)).toEqual(manifest)
    expect((await stat(file, { bigint: true })).ino).toBe(before.ino)
  })

  it('keeps the name unless another is asked for', async () => {
    const { store } = await newStore()
    const folder = await tinyFolder()
    await store.import(folder, { name: 'first' })
    expect((await store.import(folder)).name).toBe('first')
    expect((await store.import(folder, { name: 'second' })).name).toBe('second')
    expect((await store.list()).map(({ name }) => name)).toEqual(['second'])
    await readAll(store, 'second')
  })

  it('does not let two models have one name', async () => {
    const { directory, store } = await newStore()
    const { digest } = await store.import(await tinyFolder())
    const other = await tinyFolder('tiny', { weights: otherWeights() })
    await expect(store.import(other)).rejects.toThrow(/another model is called tiny/)
    expect(await readdir(directory)).toEqual([digest])
    await store.import(other, { name: 'other' })
    expect((await store.list()).map(({ name }) => name)).toEqual(['other', 'tiny'])
  })

  it('settles two imports at once one after the other', async () => {
    const { store } = await newStore()
    const other = await tinyFolder('tiny', { weights: otherWeights() })
    const results = await Promise.allSettled([store.import(await tinyFolder()), store.import(other)])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await store.list()).toHaveLength(1)
  })

  it.each(['', '../up', 'a/b', '.hidden', 'x'.repeat(65), 'deadbeef', seedlingDigest])(
    'refuses the name "%s"',
    async (name) => {
      const { store } = await newStore()
      await expect(store.import(await tinyFolder(), { name })).rejects.toThrow(InvalidInputError)
    },
  )

  it('repairs damaged weights', async () => {
    const { directory, store } = await newStore()
    const folder = await tinyFolder()
    const { digest } = await store.import(folder)
    const weights = join(directory, digest, 'model.safetensors')
    const sound = await readFile(weights)
    await writeFile(weights, sound.subarray(0, 100))
    await store.import(folder)
    expect((await readFile(weights)).equals(sound)).toBe(true)
    expect(await readdir(directory)).toEqual([digest])
  })

  it('repairs a damaged manifest', async () => {
    const { directory, store } = await newStore()
    const folder = await tinyFolder()
    const { digest } = await store.import(folder)
    await writeFile(join(directory, digest, 'manifest.json'), '{')
    expect(await store.list()).toEqual([])
    await store.import(folder)
    expect(await store.list()).toHaveLength(1)
  })

  it('takes over another vocabulary for the same weights', async () => {
    const { store } = await newStore()
    await store.import(await tinyFolder())
    const { merges } = tinyTokenizer()['model'] as { merges: string[] }
    const tokenizer = tinyTokenizer({ model: { merges: merges.slice(0, 1) } })
    await store.import(await tinyFolder('tiny', { tokenizer }))
    expect(await store.list()).toHaveLength(1)
    const model = await store.open('tiny')
    expect((await model.tokenizer()).encode('the')).toHaveLength(2)
    await model.close()
  })
})

describe('the decision about a staged model', () => {
  const manifest = {
    digest: 'd',
    name: 'n',
    licence: null,
    tokenizer: { sha256: 's', beginToken: 1, endTokens: [2] },
  } as unknown as ModelManifest
  const present = [{ manifest, folder: '/models/d' }]

  it.each([
    ['place', [], undefined, false],
    ['keep', present, undefined, true],
    ['keep', present, 'n', true],
    ['rename', present, 'm', true],
    ['place', present, undefined, false],
  ] as const)('is to %s', (kind, models, wanted, intact) => {
    expect(decideImport(models, manifest, wanted, intact)).toEqual({
      kind,
      manifest: { ...manifest, name: wanted ?? 'n' },
    })
  })
})

describe('being killed while importing', () => {
  it('leaves no model and nothing that the next import does not sweep', async () => {
    const { directory, store } = await newStore()
    const folder = await tinyFolder()
    const script = `
      import { createModelStore } from '#adapters/models/store.ts'
      const [directory, folder] = process.argv.slice(1)
      await createModelStore({ directory }).import(folder, {
        onProgress: () => { process.stdout.write('copying'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) },
      })`
    const root = resolve(import.meta.dirname, '../../..')
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, directory, folder], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    expect(await readdir(directory)).toEqual([expect.stringMatching(/^\.import-/)])
    expect(await store.list()).toEqual([])
    child.kill('SIGKILL')
    await once(child, 'exit')
    const { digest } = await store.import(folder)
    expect(await readdir(directory)).toEqual([digest])
  })

  it('does not sweep what another living process is writing', async () => {
    const { directory, store } = await newStore()
    await mkdir(directory)
    const living = `.import-${process.ppid}-0123456789abcdef`
    await mkdir(join(directory, living))
    await store.import(await tinyFolder())
    expect(await readdir(directory)).toContain(living)
    const longAgo = new Date(Date.now() - 48 * 60 * 60 * 1000)
    await utimes(join(directory, living), longAgo, longAgo)
    await store.import(await tinyFolder())
    expect(await readdir(directory)).not.toContain(living)
  })

  it('leaves alone whatever is not an import', async () => {
    const { directory, store } = await newStore()
    await mkdir(join(directory, 'notes'), { recursive: true })
    await store.import(await tinyFolder())
    expect(await readdir(directory)).toContain('notes')
  })
})

describe('opening', () => {
  it('goes by name, by digest, and by a prefix of eight characters or more', async () => {
    const { store } = await newStore()
    const { digest } = await store.import(await tinyFolder())
    for (const key of ['tiny', digest, digest.slice(0, 8), digest.slice(0, 20)]) await readAll(store, key)
    for (const key of [digest.slice(0, 7), 'tin', 'TINY', '', '../..', digest.toUpperCase(), `${digest}0`]) {
      await expect(store.open(key)).rejects.toBeInstanceOf(ModelNotFoundError)
    }
  })

  it('finds nothing in a store that is not there yet', async () => {
    const { store } = await newStore()
    expect(await store.list()).toEqual([])
    await expect(store.open('tiny')).rejects.toBeInstanceOf(ModelNotFoundError)
  })

  it('leaves out a model whose manifest was changed, and tells', async () => {
    const onDamaged = vi.fn()
    const { directory, store } = await newStore({ onDamaged })
    const { digest } = await store.import(await tinyFolder())
    const file = join(directory, digest, 'manifest.json')
    await writeFile(file, (await readFile(file, 'utf8')).replace('"ropeTheta": 10000', '"ropeTheta": 20000'))
    expect(await store.list()).toEqual([])
    await store.list()
    expect(onDamaged.mock.calls).toEqual([[digest, expect.any(ModelFormatError)]])
  })

  it('refuses a model whose weights have another layout than the manifest', async () => {
    const { directory, store } = await newStore()
    const { digest } = await store.import(await tinyFolder())
    const { header, data } = tinySafetensors({ ...tinyConfig, intermediateSize: 16 })
    await writeFile(join(directory, digest, 'model.safetensors'), safetensorsBytes(header, data))
    await expect(store.open('tiny')).rejects.toThrow(/contradicts the manifest/)
  })

  it('refuses a tensor or a vocabulary whose bytes have changed on disk', async () => {
    const { directory, store } = await newStore()
    const { digest } = await store.import(await tinyFolder())
    const weights = await readFile(join(directory, digest, 'model.safetensors'))
    weights.writeUInt8((weights.at(-1) ?? 0) ^ 1, weights.length - 1)
    await writeFile(join(directory, digest, 'model.safetensors'), weights)
    await writeFile(join(directory, digest, 'tokenizer.json'), '{}')
    const model = await store.open('tiny')
    await model.readTensor('model.embed_tokens.weight')
    await expect(model.readTensor('model.norm.weight')).rejects.toThrow(
      /model\.norm\.weight: the bytes on disk have changed/,
    )
    await expect(model.tokenizer()).rejects.toThrow(/tokenizer\.json: the bytes on disk have changed/)
    await model.close()
  })

  it('refuses an unknown tensor, a cancelled read and a closed model', async () => {
    const { store } = await newStore()
    await store.import(await tinyFolder())
    const model = await store.open('tiny')
    await expect(model.readTensor('nope')).rejects.toBeInstanceOf(ModelFormatError)
    const reading = model.readTensor('model.norm.weight', { signal: AbortSignal.abort() })
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' })
    await model.close()
    await model.close()
    await expect(model.readTensor('model.norm.weight')).rejects.toMatchObject({ code: 'internal' })
  })

  it.runIf(process.platform === 'linux')('leaves no file open, whatever happened', async () => {
    const { directory, store } = await newStore()
    const openFiles = async () => (await readdir('/proc/self/fd')).length
    const before = await openFiles()
    const { digest } = await store.import(await tinyFolder())
    await readAll(store, 'tiny')
    await store.import(await tinyFolder('broken', { weights: otherWeights().subarray(0, -1) })).catch(() => {})
    await store
      .import(await tinyFolder('broken', { config: tinyHuggingFaceConfig({ vocab_size: 300 }) }))
      .catch(() => {})
    await store.import(await writeLlama2cFolder(await newFolder(), llama2cCheckpoint().subarray(1))).catch(() => {})
    await writeFile(join(directory, digest, 'model.safetensors'), '')
    await store.open('tiny').catch(() => {})
    expect(await openFiles()).toBe(before)
  })
})

describe('models that ship with the app', () => {
  it('are listed and opened where they lie, under their golden digest', async () => {
    const { directory, store } = await newStore({ readOnly: [resources] })
    const [seedling] = await store.list()
    expect(seedling).toMatchObject({ name: 'seedling', digest: seedlingDigest })
    expect(await readAll(store, seedlingDigest.slice(0, 8))).toEqual(seedling)
    expect(await stat(directory).catch(() => null)).toBeNull()
  })

  it('may be named one by one', async () => {
    const { store } = await newStore({ readOnly: [join(resources, 'seedling'), join(resources, 'absent')] })
    expect((await store.list()).map(({ name }) => name)).toEqual(['seedling'])
  })

  it('are not copied by importing them, unless under another name', async () => {
    const { directory, store } = await newStore({ readOnly: [resources] })
    await store.import(join(resources, 'seedling'))
    expect(await readdir(directory)).toEqual([])
    await store.import(join(resources, 'seedling'), { name: 'mine' })
    expect(await readdir(directory)).toEqual([seedlingDigest])
    expect((await store.list()).map(({ name }) => name)).toEqual(['mine'])
  })

  it('that are damaged are left out, and told of', async () => {
    const onDamaged = vi.fn()
    const folder = await tinyFolder('broken', { weights: new Uint8Array(3) })
    const { store } = await newStore({ readOnly: [folder, resources], onDamaged })
    expect((await store.list()).map(({ name }) => name)).toEqual(['seedling'])
    expect(onDamaged).toHaveBeenCalledWith(folder, expect.any(ModelFormatError))
  })
})
