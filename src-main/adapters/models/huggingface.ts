/**
 * A model in Hugging Face's folder layout: `config.json`, `model.safetensors`, `tokenizer.json`. Only what the engines
 * compute exactly is accepted; everything that would change the numbers (biases, scaled rotary positions, other
 * activations, quantised weights) is refused by name.
 */
import { basename, join, resolve } from 'node:path'
import * as z from 'zod'
import { type ModelConfig, modelConfigSchema } from '#contracts/model/manifest.ts'
import { ModelFormatError, ModelUnsupportedError } from '#core/errors.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { parseBoundedJson } from './bounded-json.ts'
import { openFile, readChunks, readSmallFile, statOrNull } from './files.ts'
import { type ModelSource, toModelName } from './model-source.ts'
import { readSafetensorsLayout, type SafetensorsEntry, type SafetensorsLayout } from './safetensors.ts'
import { maximumTokenizerBytes } from './tokenizer-bytes.ts'
import { createHuggingFaceTokenizer } from './tokenizer-huggingface.ts'

const maximumConfigBytes = 1 << 20
const weightsFile = 'model.safetensors'

/** Opens and checks a folder. Throws `ModelFormatError`, `ModelUnsupportedError` or `TokenizerFormatError`. */
export async function openHuggingFace(folder: string): Promise<ModelSource> {
  const { config, beginToken, endTokens } = parseHuggingFaceConfig(
    await readSmallFile(join(folder, 'config.json'), 'config.json', maximumConfigBytes),
  )
  const bytes = await readSmallFile(join(folder, 'tokenizer.json'), 'tokenizer.json', maximumTokenizerBytes)
  createHuggingFaceTokenizer(bytes, { vocabularySize: config.vocabularySize, beginToken, endTokens })
  const licence = await readLicence(folder)
  await refuseOtherWeights(folder)
  const file = await openFile(join(folder, weightsFile), weightsFile)
  try {
    const layout = await readSafetensorsLayout(file)
    const tensors = selectTensors(config, layout)
    return {
      config,
      tensors,
      licence,
      suggestedName: toModelName(basename(resolve(folder))),
      tokenizer: { kind: 'huggingface', beginToken, endTokens, bytes },
      read: (name, signal) => {
        const { begin, end } = entryOf(layout, name)
        return readChunks(file, begin, end, signal)
      },
      close: () => file.handle.close(),
    }
  } catch (error) {
    await file.handle.close()
    throw error
  }
}

/** Pure: the tensors that the config asks for, in file order. Extras are refused unless they repeat what is known. */
export function selectTensors(config: ModelConfig, layout: SafetensorsLayout): SafetensorsEntry[] {
  const expected = new Map(expectedTensors(config).map(({ name, shape }) => [name, shape]))
  for (const [name, shape] of expected) {
    const found = entryOf(layout, name)
    if (found.shape.join() !== shape.join()) {
      const where = `${weightsFile}: tensor ${name}`
      throw new ModelFormatError(where, `shape [${found.shape}], the config asks for [${shape}]`)
    }
  }
  const extra = [...layout.keys()].find((name) => !expected.has(name) && !isRedundant(name))
  if (extra !== undefined) throw new ModelUnsupportedError(`tensor ${extra.slice(0, 256)}`)
  return [...layout.values()].filter(({ name }) => expected.has(name))
}

/** Rotary frequencies follow from the config; a tied head is the embedding again. */
function isRedundant(name: string): boolean {
  return name.endsWith('rotary_emb.inv_freq') || name === 'lm_head.weight'
}

function entryOf(layout: SafetensorsLayout, name: string): SafetensorsEntry {
  const entry = layout.get(name)
  if (entry === undefined) throw new ModelFormatError(weightsFile, `tensor ${name} is missing`)
  return entry
}

const token = z.int().min(0)
const ropeSchema = z.looseObject({
  rope_type: z.string().max(64).optional(),
  type: z.string().max(64).optional(),
  rope_theta: z.number().positive().optional(),
  partial_rotary_factor: z.number().optional(),
})
const count = z.int().min(1)

/** Defaults are those of transformers' `LlamaConfig`. */
const configSchema = z.looseObject({
  model_type: z.string().max(64),
  architectures: z.array(z.string().max(128)).max(16).nullish(),
  hidden_act: z.string().max(64).default('silu'),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  quantization_config: z.unknown().optional(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  rope_theta: z.number().positive().nullish(),
  partial_rotary_factor: z.number().nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  vocab_size: count,
  max_position_embeddings: count.default(2048),
  rms_norm_eps: z.number().default(1e-6),
  bos_token_id: token.nullish(),
  eos_token_id: z.union([token, z.array(token).max(16)]).nullish(),
})
type HuggingFaceConfig = z.infer<typeof configSchema>

interface ParsedConfig {
  readonly config: ModelConfig
  readonly beginToken: number | null
  readonly endTokens: number[]
}

/** Pure: `config.json` in our words. */
export function parseHuggingFaceConfig(bytes: Uint8Array): ParsedConfig {
  const raw = checked(configSchema, parseJson(bytes))
  refuseUnsupported(raw)
  const config = checked(modelConfigSchema, toModelConfig(raw))
  const beginToken = raw.bos_token_id ?? null
  const endTokens = [raw.eos_token_id ?? []].flat()
  for (const id of [...endTokens, ...(beginToken === null ? [] : [beginToken])]) {
    if (id >= config.vocabularySize) {
      throw new ModelFormatError('config.json', `special token ${id} is outside the vocabulary`)
    }
  }
  return { config, beginToken, endTokens }
}

function toModelConfig(raw: HuggingFaceConfig): ModelConfig {
  return {
    architecture: 'llama',
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    blockCount: raw.num_hidden_layers,
    headCount: raw.num_attention_heads,
    kvHeadCount: raw.num_key_value_heads ?? raw.num_attention_heads,
    headSize: raw.head_dim ?? raw.hidden_size / raw.num_attention_heads,
    vocabularySize: raw.vocab_size,
    contextLength: raw.max_position_embeddings,
    rmsNormEpsilon: raw.rms_norm_eps,
    ropeTheta: raw.rope_parameters?.rope_theta ?? raw.rope_theta ?? raw.rope_scaling?.rope_theta ?? 10_000,
    ropeStyle: 'half',
    tiedHead: raw.tie_word_embeddings ?? false,
  }
}

function refuseUnsupported(raw: HuggingFaceConfig): void {
  const complaint = unsupportedPart(raw)
  if (complaint !== null) throw new ModelUnsupportedError(complaint)
}

/** The first thing in the config that the engines do not compute; null when there is none. */
function unsupportedPart(raw: HuggingFaceConfig): string | null {
  if (raw.model_type !== 'llama') return `model_type ${raw.model_type}`
  const architecture = raw.architectures?.find((name) => name !== 'LlamaForCausalLM')
  if (architecture !== undefined) return `architecture ${architecture}`
  if (raw.hidden_act !== 'silu') return `hidden_act ${raw.hidden_act}`
  if (raw.attention_bias === true) return 'attention_bias'
  if (raw.mlp_bias === true) return 'mlp_bias'
  if (raw.quantization_config !== undefined && raw.quantization_config !== null) return 'quantization_config'
  return unsupportedRope(raw)
}

function unsupportedRope(raw: HuggingFaceConfig): string | null {
  for (const rope of [raw.rope_scaling, raw.rope_parameters]) {
    const type = rope?.rope_type ?? rope?.type ?? 'default'
    if (type !== 'default') return `rope_scaling ${type}`
    if ((rope?.partial_rotary_factor ?? 1) !== 1) return 'partial_rotary_factor'
  }
  return (raw.partial_rotary_factor ?? 1) === 1 ? null : 'partial_rotary_factor'
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new ModelFormatError(`config.json ${issue?.path.join('.')}`.trimEnd(), issue?.message ?? 'malformed')
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return parseBoundedJson(bytes, { depth: 16, values: 100_000 })
  } catch (cause) {
    throw new ModelFormatError('config.json', cause instanceof Error ? cause.message : 'not JSON', { cause })
  }
}

/** The `license:` line of the model card's front matter, when there is one. */
async function readLicence(folder: string): Promise<string | null> {
  const path = join(folder, 'README.md')
  const found = await statOrNull(path)
  if (found === null || !found.isFile() || found.size > 1 << 20) return null
  const text = new TextDecoder().decode(await readSmallFile(path, 'README.md', 1 << 20))
  const frontMatter = /^---\r?\n([\s\S]*?)\r?\n---/.exec(text)?.[1]
  return (
    /^licen[cs]e:[ \t]*["']?([A-Za-z0-9][A-Za-z0-9 .+_-]{0,127})["']?[ \t]*\r?$/m.exec(frontMatter ?? '')?.[1] ?? null
  )
}

/** When the weights lie there in another form, say which rather than "missing". */
async function refuseOtherWeights(folder: string): Promise<void> {
  if ((await statOrNull(join(folder, weightsFile))) !== null) return
  if ((await statOrNull(join(folder, `${weightsFile}.index.json`))) !== null) {
    throw new ModelUnsupportedError('weights split into several safetensors files')
  }
  if ((await statOrNull(join(folder, 'pytorch_model.bin'))) !== null) {
    throw new ModelUnsupportedError('pickled PyTorch weights (pytorch_model.bin)')
  }
}
