import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { writePeftAdapter } from '#adapters/models/peft-export.ts'
import { readPeftAdapter } from '#adapters/models/peft-import.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { ModelFormatError, ModelUnsupportedError, PatchMismatchError } from '#core/errors.ts'
import { content, delta, factors, scale } from '#test/core/patches/parts.ts'
import { safetensorsBytes, tinyConfig, tinyValues, useTemporaryFolders } from './tiny-models.ts'

const newFolder = useTemporaryFolders()
const layer = 'base_model.model.model.layers'

type Tensors = Readonly<Record<string, readonly [shape: number[], values: Float32Array]>>

/** An adapter's folder as PEFT would leave it. */
async function adapterFolder(config: object, tensors: Tensors, files: Record<string, string> = {}): Promise<string> {
  const folder = join(await newFolder(), 'my-adapter')
  await mkdir(folder)
  const header: Record<string, object> = {}
  const parts: Uint8Array[] = []
  let position = 0
  for (const [name, [shape, values]] of Object.entries(tensors)) {
    header[name] = { dtype: 'F32', shape, data_offsets: [position, position + values.byteLength] }
    parts.push(new Uint8Array(values.buffer))
    position += values.byteLength
  }
  const weights = safetensorsBytes(header, new Uint8Array(Buffer.concat(parts)))
  await writeFile(join(folder, 'adapter_model.safetensors'), weights)
  await writeFile(join(folder, 'adapter_config.json'), JSON.stringify(config))
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  return folder
}

const loraConfig = {
  peft_type: 'LORA',
  base_model_name_or_path: 'someone/tiny',
  r: 2,
  lora_alpha: 6,
  lora_dropout: 0.05,
  target_modules: ['q_proj', 'down_proj'],
  bias: 'none',
}

function loraTensors(changes: Tensors = {}): Tensors {
  return {
    [`${layer}.1.self_attn.q_proj.lora_A.weight`]: [[2, 8], tinyValues(16, 1)],
    [`${layer}.1.self_attn.q_proj.lora_B.weight`]: [[8, 2], tinyValues(16, 2)],
    [`${layer}.0.mlp.down_proj.lora_A.weight`]: [[2, 12], tinyValues(24, 3)],
    [`${layer}.0.mlp.down_proj.lora_B.weight`]: [[8, 2], tinyValues(16, 4)],
    ...changes,
  }
}

const ia3Config = {
  peft_type: 'IA3',
  base_model_name_or_path: 'someone/tiny',
  target_modules: ['k_proj', 'v_proj', 'down_proj'],
  feedforward_modules: ['down_proj'],
}

const ia3Tensors: Tensors = {
  [`${layer}.1.mlp.down_proj.ia3_l`]: [[1, 12], tinyValues(12, 1)],
  [`${layer}.0.self_attn.v_proj.ia3_l`]: [[4, 1], tinyValues(4, 2)],
  [`${layer}.0.self_attn.k_proj.ia3_l`]: [[4, 1], tinyValues(4, 3)],
}

describe('a LoRA adapter', () => {
  it('becomes factors, with alpha / r in the left one', async () => {
    const adapter = await readPeftAdapter(await adapterFolder(loraConfig, loraTensors()), tinyConfig)
    expect(adapter).toMatchObject({ method: 'lora', suggestedTitle: 'my-adapter', licence: null })
    expect(adapter.content.factors).toEqual([
      {
        tensor: 'model.layers.0.mlp.down_proj.weight',
        shape: [8, 12],
        rank: 2,
        left: tinyValues(16, 4).map((value) => value * 3),
        right: tinyValues(24, 3),
      },
      {
        tensor: 'model.layers.1.self_attn.q_proj.weight',
        shape: [8, 8],
        rank: 2,
        left: tinyValues(16, 2).map((value) => value * 3),
        right: tinyValues(16, 1),
      },
    ])
  })

  it('comes with a word that nobody vouches for its base, and that its dropout is not kept', async () => {
    const { warnings } = await readPeftAdapter(await adapterFolder(loraConfig, loraTensors()), tinyConfig)
    expect(warnings).toEqual([
      { kind: 'base-unverified', baseName: 'someone/tiny' },
      { kind: 'dropout-dropped', dropout: 0.05 },
    ])
  })

  it('is scaled by alpha / sqrt(r) when it is rank-stabilised', async () => {
    const folder = await adapterFolder({ ...loraConfig, use_rslora: true }, loraTensors())
    const [, query] = (await readPeftAdapter(folder, tinyConfig)).content.factors
    expect(query?.left).toEqual(tinyValues(16, 2).map((value) => value * (6 / Math.sqrt(2))))
  })

  it('may have other ranks and alphas by module', async () => {
    const config = {
      ...loraConfig,
      r: 4,
      rank_pattern: { q_proj: 2, 'mlp.down_proj': 2 },
      alpha_pattern: { q_proj: 8 },
    }
    const [down, query] = (await readPeftAdapter(await adapterFolder(config, loraTensors()), tinyConfig)).content
      .factors
    expect(down?.left[1]).toBe(Math.fround((tinyValues(16, 4)[1] ?? 0) * 3))
    expect(query?.left[1]).toBe(Math.fround((tinyValues(16, 2)[1] ?? 0) * 4))
  })

  it('is read by the path of its weights too, and its licence out of its card', async () => {
    const folder = await adapterFolder(loraConfig, loraTensors(), { 'README.md': '---\nlicense: mit\n---\n' })
    const adapter = await readPeftAdapter(join(folder, 'adapter_model.safetensors'), tinyConfig)
    expect(adapter).toMatchObject({ suggestedTitle: 'my-adapter', licence: 'mit' })
  })

  it('has the rows of queries where a model with the other rotary order has them', async () => {
    const folder = await adapterFolder(loraConfig, loraTensors())
    const [, half] = (await readPeftAdapter(folder, tinyConfig)).content.factors
    const [, inter] = (await readPeftAdapter(folder, { ...tinyConfig, ropeStyle: 'interleaved' })).content.factors
    expect(inter?.left.subarray(2, 4)).toEqual(half?.left.subarray(4, 6))
    expect(inter?.right).toEqual(half?.right)
  })
})

describe('an (IA)³ adapter', () => {
  it('becomes scales, in the order of blocks and targets', async () => {
    const { content: patch, method } = await readPeftAdapter(await adapterFolder(ia3Config, ia3Tensors), tinyConfig)
    expect(method).toBe('ia3')
    expect(patch.scales).toEqual([
      { block: 0, target: 'key', values: tinyValues(4, 3) },
      { block: 0, target: 'value', values: tinyValues(4, 2) },
      { block: 1, target: 'feedForward', values: tinyValues(12, 1) },
    ])
  })
})

describe('an adapter is refused by name for', () => {
  it.each<[string, object, Tensors | undefined, string]>([
    ['another kind', { ...loraConfig, peft_type: 'VERA' }, undefined, 'VERA'],
    ['DoRA', { ...loraConfig, use_dora: true }, undefined, 'use_dora'],
    ['biases', { ...loraConfig, bias: 'all' }, undefined, 'bias all'],
    ['whole modules beside it', { ...loraConfig, modules_to_save: ['lm_head'] }, undefined, 'modules_to_save lm_head'],
    [
      'a start that changed the base',
      { ...loraConfig, init_lora_weights: 'pissa_niter_4' },
      undefined,
      'pissa_niter_4',
    ],
    ['transposed weights', { ...loraConfig, fan_in_fan_out: true }, undefined, 'fan_in_fan_out'],
    ['doubled layers', { ...loraConfig, layer_replication: [[0, 1]] }, undefined, 'layer_replication'],
    [
      'embeddings',
      loraConfig,
      loraTensors({ 'base_model.model.model.embed_tokens.lora_embedding_A': [[2, 264], tinyValues(528, 1)] }),
      'lora_embedding_A',
    ],
    [
      'the head',
      loraConfig,
      loraTensors({ 'base_model.model.lm_head.lora_A.weight': [[2, 8], tinyValues(16, 1)] }),
      'lm_head',
    ],
    [
      'magnitudes',
      loraConfig,
      loraTensors({ [`${layer}.0.mlp.up_proj.lora_magnitude_vector`]: [[12], tinyValues(12, 1)] }),
      'lora_magnitude_vector',
    ],
    [
      '(IA)³ on queries',
      ia3Config,
      { [`${layer}.0.self_attn.q_proj.ia3_l`]: [[8, 1], tinyValues(8, 1)] },
      'q_proj.ia3_l',
    ],
    ['LoRA among (IA)³', ia3Config, { ...ia3Tensors, ...loraTensors() }, 'lora_'],
  ])('%s', async (_, config, tensors, message) => {
    const folder = await adapterFolder(config, tensors ?? loraTensors())
    const reading = readPeftAdapter(folder, tinyConfig)
    await expect(reading).rejects.toThrow(ModelUnsupportedError)
    await expect(reading).rejects.toThrow(message)
  })

  it('pickled weights', async () => {
    const folder = await newFolder()
    await writeFile(join(folder, 'adapter_config.json'), JSON.stringify(loraConfig))
    await writeFile(join(folder, 'adapter_model.bin'), 'pickle')
    await expect(readPeftAdapter(folder, tinyConfig)).rejects.toThrow(ModelUnsupportedError)
    await expect(readPeftAdapter(join(folder, 'adapter_model.bin'), tinyConfig)).rejects.toThrow(/pickled/)
  })
})

describe('an adapter that contradicts itself or its base', () => {
  it.each<[string, object, Tensors, new (...parts: never[]) => Error, string]>([
    [
      'has one of the two factors only',
      loraConfig,
      { [`${layer}.1.self_attn.q_proj.lora_A.weight`]: [[2, 8], tinyValues(16, 1)] },
      ModelFormatError,
      'but one of',
    ],
    ['has other ranks than it says', { ...loraConfig, r: 3 }, loraTensors(), ModelFormatError, 'rank 3'],
    [
      'is for a wider model',
      loraConfig,
      loraTensors({ [`${layer}.0.mlp.down_proj.lora_A.weight`]: [[2, 24], tinyValues(48, 1)] }),
      PatchMismatchError,
      '\\[2,24\\]',
    ],
    [
      'is for a deeper model',
      loraConfig,
      {
        [`${layer}.7.self_attn.q_proj.lora_A.weight`]: [[2, 8], tinyValues(16, 1)],
        [`${layer}.7.self_attn.q_proj.lora_B.weight`]: [[8, 2], tinyValues(16, 1)],
      },
      PatchMismatchError,
      'no such tensor',
    ],
    [
      'scales a block too many',
      ia3Config,
      { [`${layer}.2.self_attn.k_proj.ia3_l`]: [[4, 1], tinyValues(4, 3)] },
      PatchMismatchError,
      '2 blocks',
    ],
    [
      'has numbers that are none',
      ia3Config,
      { [`${layer}.1.self_attn.k_proj.ia3_l`]: [[4, 1], Float32Array.of(1, Number.NaN, 1, 1)] },
      ModelFormatError,
      'NaN',
    ],
    ['has no tensors', ia3Config, {}, ModelFormatError, 'no tensors'],
    [
      'has a config of another form',
      { ...loraConfig, r: '2' },
      loraTensors(),
      ModelFormatError,
      'adapter_config.json r',
    ],
    [
      'has modules by regular expression',
      { ...loraConfig, rank_pattern: { '.*_proj': 2 } },
      loraTensors(),
      ModelFormatError,
      'rank_pattern',
    ],
  ])('is refused: it %s', async (_, config, tensors, kind, message) => {
    const reading = readPeftAdapter(await adapterFolder(config, tensors), tinyConfig)
    await expect(reading).rejects.toThrow(kind)
    await expect(reading).rejects.toThrow(new RegExp(message))
  })

  it('is refused when there is nothing at its path', async () => {
    await expect(readPeftAdapter(join(await newFolder(), 'none'), tinyConfig)).rejects.toThrow(InvalidInputError)
  })
})

describe('a patch written as an adapter', () => {
  const base = { name: 'tiny', config: tinyConfig }
  const lora = content({
    factors: [
      factors('model.layers.0.mlp.gate_proj.weight', [12, 8], 1),
      factors('model.layers.0.self_attn.k_proj.weight', [4, 8], 3),
    ],
  })
  const ia3 = content({ scales: [scale(0, 'key', [1, 2, 3, 4]), scale(1, 'feedForward', [...tinyValues(12, 5)])] })

  it.each<[string, PatchContent]>([
    ['LoRA', lora],
    ['(IA)³', ia3],
  ])('comes back bit for bit: %s', async (_, patch) => {
    for (const config of [tinyConfig, { ...tinyConfig, ropeStyle: 'interleaved' as const }]) {
      const path = join(await newFolder(), 'out')
      await writePeftAdapter(patch, { name: 'tiny', config }, { path })
      expect((await readPeftAdapter(path, config)).content).toEqual(patch)
    }
  })

  it('names its modules one by one, and has PEFT’s shapes', async () => {
    const path = join(await newFolder(), 'out')
    await writePeftAdapter(ia3, base, { path })
    const config = JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'))
    expect(config).toMatchObject({
      peft_type: 'IA3',
      base_model_name_or_path: 'tiny',
      target_modules: ['model.layers.0.self_attn.k_proj', 'model.layers.1.mlp.down_proj'],
      feedforward_modules: ['model.layers.1.mlp.down_proj'],
    })
    const weights = await readFile(join(path, 'adapter_model.safetensors'))
    const header = weights.subarray(8, 8 + Number(weights.readBigUInt64LE(0))).toString()
    expect(Object.entries(JSON.parse(header)).map(([name, row]) => [name, (row as { shape: number[] }).shape])).toEqual(
      [
        [`${layer}.0.self_attn.k_proj.ia3_l`, [4, 1]],
        [`${layer}.1.mlp.down_proj.ia3_l`, [1, 12]],
      ],
    )
  })

  it('is refused where PEFT has no form for it, and never replaces what is there', async () => {
    const path = await newFolder()
    const sparse = content({ deltas: [delta('model.norm.weight', [8], [0], [1])] })
    await expect(writePeftAdapter(sparse, base, { path: join(path, 'a') })).rejects.toThrow(/sparse/)
    const both = content({ scales: ia3.scales, factors: lora.factors })
    await expect(writePeftAdapter(both, base, { path: join(path, 'a') })).rejects.toThrow(InvalidInputError)
    await expect(writePeftAdapter(lora, base, { path })).rejects.toThrow(/there already/)
  })
})
