/**
 * A model in Hugging Face's folder layout: `config.json`, `tokenizer.json`, and `model.safetensors` or shards of it. Only
 * what the engines compute exactly is accepted; everything else that would change the numbers is refused by name.
 */
import { basename, join, resolve } from 'node:path'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { readSmallFile, statOrNull } from './files.ts'
import { type ParsedConfig, parseHuggingFaceConfig } from './huggingface-config.ts'
import { addsBeginToken, generationConfigFile, tokenizerConfigFile, withGenerationEnds } from './huggingface-tokens.ts'
import { readShardTensor, readWeightsLayout, type ShardEntry, type WeightsLayout } from './huggingface-weights.ts'
import { type ModelSource, maximumTokenizerBytes, toModelName } from './model-source.ts'
import { createHuggingFaceTokenizer } from './tokenizer-huggingface.ts'

const maximumConfigBytes = 1 << 20
const maximumTokenizerConfigBytes = 8 << 20
/** What a file of this layout may store; GGUF's blocks do not occur in it. */
const floatDtypes: readonly string[] = ['F32', 'F16', 'BF16']

/** Opens and checks a folder. Throws `ModelFormatError`, `ModelUnsupportedError` or `TokenizerFormatError`. */
export async function openHuggingFace(folder: string): Promise<ModelSource> {
  const { config, beginToken, endTokens } = await readConfig(folder)
  const bytes = await readSmallFile(join(folder, 'tokenizer.json'), 'tokenizer.json', maximumTokenizerBytes)
  createHuggingFaceTokenizer(bytes, { vocabularySize: config.vocabularySize, beginToken, endTokens })
  const licence = await readLicence(folder)
  const layout = await readWeightsLayout(folder)
  return {
    config,
    tensors: selectTensors(config, layout),
    licence,
    suggestedName: toModelName(basename(resolve(folder))),
    tokenizer: { kind: 'huggingface', beginToken, endTokens: [...endTokens], bytes },
    read: (name, signal) => readShardTensor(folder, entryOf(layout, name), signal),
    close: async () => {}, // nothing stays open between two reads
  }
}

async function readConfig(folder: string): Promise<ParsedConfig> {
  const config = await readSmallFile(join(folder, 'config.json'), 'config.json', maximumConfigBytes)
  const parsed = parseHuggingFaceConfig(config)
  const generation = await readOptional(folder, generationConfigFile, maximumConfigBytes)
  const tokenizer = await readOptional(folder, tokenizerConfigFile, maximumTokenizerConfigBytes)
  return {
    config: parsed.config,
    beginToken: tokenizer === null || addsBeginToken(tokenizer) ? parsed.beginToken : null,
    endTokens: generation === null ? parsed.endTokens : withGenerationEnds(parsed.endTokens, generation, parsed.config),
  }
}

async function readOptional(folder: string, name: string, maximumBytes: number): Promise<Uint8Array | null> {
  const path = join(folder, name)
  return (await statOrNull(path)) === null ? null : readSmallFile(path, name, maximumBytes)
}

/** Pure: the tensors that the config asks for, in file order. Extras are refused unless they repeat what is known. */
export function selectTensors(config: ModelConfig, layout: WeightsLayout): ShardEntry[] {
  const expected = new Map(expectedTensors(config).map(({ name, shape }) => [name, shape]))
  for (const [name, shape] of expected) expectTensor(entryOf(layout, name), shape)
  const extra = [...layout.keys()].find((name) => !expected.has(name) && !isRedundant(name))
  if (extra !== undefined) throw new ModelUnsupportedError(`tensor ${extra.slice(0, 256)}`)
  return [...layout.values()].filter(({ name }) => expected.has(name))
}

function expectTensor({ name, shard, dtype, shape }: ShardEntry, wanted: readonly number[]): void {
  const where = `${shard}: tensor ${name}`
  if (!floatDtypes.includes(dtype)) {
    throw new ModelFormatError(where, `dtype ${dtype} is not one of ${floatDtypes.join(', ')}`)
  }
  if (shape.join() !== wanted.join()) {
    throw new ModelFormatError(where, `shape [${shape}], the config asks for [${wanted}]`)
  }
}

/** Rotary frequencies follow from the config; a tied head is the embedding again. */
function isRedundant(name: string): boolean {
  return name.endsWith('rotary_emb.inv_freq') || name === 'lm_head.weight'
}

function entryOf(layout: WeightsLayout, name: string): ShardEntry {
  const entry = layout.get(name)
  if (entry === undefined) throw new ModelFormatError('model.safetensors', `tensor ${name} is missing`)
  return entry
}

/** The `license:` line of the model card's front matter, when there is one. */
export async function readLicence(folder: string): Promise<string | null> {
  const path = join(folder, 'README.md')
  const found = await statOrNull(path)
  if (found === null || !found.isFile() || found.size > 1 << 20) return null
  const text = new TextDecoder().decode(await readSmallFile(path, 'README.md', 1 << 20))
  const frontMatter = /^---\r?\n([\s\S]*?)\r?\n---/.exec(text)?.[1]
  return (
    /^licen[cs]e:[ \t]*["']?([A-Za-z0-9][A-Za-z0-9 .+_-]{0,127})["']?[ \t]*\r?$/m.exec(frontMatter ?? '')?.[1] ?? null
  )
}
