/** Models of a few kilobytes, written in each format by code of its own, so that the readers are not tested by the writers. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'

/** A function that makes new folders, all removed after the file's tests. */
export function useTemporaryFolders(): () => Promise<string> {
  const made: string[] = []
  afterAll(async () => {
    for (const folder of made) await rm(folder, { recursive: true, force: true })
  })
  return async () => {
    const folder = await mkdtemp(join(tmpdir(), 'quiltbee-models-'))
    made.push(folder)
    return folder
  }
}

export const tinyConfig: ModelConfig = {
  architecture: 'llama',
  hiddenSize: 8,
  intermediateSize: 12,
  blockCount: 2,
  headCount: 2,
  kvHeadCount: 1,
  headSize: 4,
  vocabularySize: 264,
  contextLength: 16,
  rmsNormEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeStyle: 'half',
  tiedHead: true,
}

export function tinyHuggingFaceConfig(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    tie_word_embeddings: true,
    bos_token_id: 1,
    eos_token_id: 2,
    rope_scaling: null,
    hidden_size: 8,
    intermediate_size: 12,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    vocab_size: 264,
    max_position_embeddings: 16,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    ...changes,
  }
}

/** GPT-2's alphabet, by its published definition. */
export function byteAlphabet(): string[] {
  const printing = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
  let others = 0
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printing(byte) ? byte : 256 + others++))
}

/** Three special tokens, 256 bytes, and a few merges: 264 pieces. */
export function tinyTokenizer(changes: { model?: object; [key: string]: unknown } = {}): Record<string, unknown> {
  const pieces = ['<unk>', '<s>', '</s>', ...byteAlphabet(), 'th', 'the', 'Ġthe', 'in', 'Ġin']
  const special = (id: number) => ({
    id,
    content: pieces[id],
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })
  const { model, ...others } = changes
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special(0), special(1), special(2)],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: ['t h', 'th e', 'Ġ the', 'i n', 'Ġ in'],
      ...model,
    },
    ...others,
  }
}

/** Small numbers that differ from tensor to tensor. */
export function tinyValues(count: number, salt: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.fround(Math.sin(salt * 31 + i) / 8))
}

export interface HeaderRow {
  dtype: string
  shape: number[]
  data_offsets: number[]
}

/** A safetensors file out of any header, sound or not. */
export function safetensorsBytes(header: unknown, data: Uint8Array): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header))
  const file = new Uint8Array(8 + json.length + data.length)
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true)
  file.set(json, 8)
  file.set(data, 8 + json.length)
  return file
}

/** Float32 tensors of the tiny model, plus `extras`, one after the other. */
export function tinySafetensors(config: ModelConfig = tinyConfig, extras: { name: string; shape: number[] }[] = []) {
  const header: Record<string, HeaderRow> = {}
  const parts: Uint8Array[] = []
  let position = 0
  for (const [index, { name, shape }] of [...expectedTensors(config), ...extras].entries()) {
    const values = tinyValues(
      shape.reduce((a, b) => a * b, 1),
      index,
    )
    header[name] = {
      dtype: 'F32',
      shape: [...shape],
      data_offsets: [position, position + values.byteLength],
    }
    parts.push(new Uint8Array(values.buffer))
    position += values.byteLength
  }
  return { header, data: new Uint8Array(Buffer.concat(parts)) }
}

/** The tensors of a file dealt out to `count` shards in turn, with the index that says so. */
export function shardedSafetensors({ header, data } = tinySafetensors(), count = 2) {
  const nameOf = (shard: number) => `model-0000${shard + 1}-of-0000${count}.safetensors`
  const files: Record<string, Uint8Array> = {}
  const weightMap: Record<string, string> = {}
  for (let shard = 0; shard < count; shard++) {
    const rows = Object.entries(header).filter((_, index) => index % count === shard)
    let position = 0
    const moved = rows.map(([name, row]) => {
      const [begin = 0, end = 0] = row.data_offsets
      weightMap[name] = nameOf(shard)
      position += end - begin
      return [name, { ...row, data_offsets: [position - end + begin, position] }] as const
    })
    const parts = rows.map(
      ([
        ,
        {
          data_offsets: [begin, end],
        },
      ]) => data.subarray(begin, end),
    )
    files[nameOf(shard)] = safetensorsBytes(Object.fromEntries(moved), new Uint8Array(Buffer.concat(parts)))
  }
  return { index: { metadata: { total_size: data.length }, weight_map: weightMap }, files }
}

export interface TinyFolder {
  config?: Record<string, unknown> | string
  weights?: Uint8Array | null
  tokenizer?: object | string
  readme?: string
  /** Further files by name. */
  files?: Record<string, object | string | Uint8Array>
}

/** Writes a Hugging Face folder named `name` in `parent`. */
export async function writeHuggingFaceFolder(parent: string, name: string, parts: TinyFolder = {}): Promise<string> {
  const folder = join(parent, name)
  await mkdir(folder)
  const { header, data } = tinySafetensors()
  const asText = (value: object | string) => (typeof value === 'string' ? value : JSON.stringify(value))
  await writeFile(join(folder, 'config.json'), asText(parts.config ?? tinyHuggingFaceConfig()))
  await writeFile(join(folder, 'tokenizer.json'), asText(parts.tokenizer ?? tinyTokenizer()))
  if (parts.weights !== null) {
    await writeFile(join(folder, 'model.safetensors'), parts.weights ?? safetensorsBytes(header, data))
  }
  if (parts.readme !== undefined) await writeFile(join(folder, 'README.md'), parts.readme)
  for (const [file, content] of Object.entries(parts.files ?? {})) {
    await writeFile(join(folder, file), content instanceof Uint8Array ? content : asText(content))
  }
  return folder
}

/** A llama2.c vocabulary: control pieces, 256 bytes, then `texts` with falling scores. */
export function llama2cVocabulary(texts: readonly string[], scores?: readonly number[]): Uint8Array {
  const bytePieces = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`)
  const pieces = ['<unk>', '\n<s>\n', '\n</s>\n', ...bytePieces, ...texts].map((piece) => Buffer.from(piece))
  const header = Buffer.alloc(4)
  header.writeInt32LE(Math.max(...pieces.map(({ length }) => length)))
  const records = pieces.flatMap((piece, id) => {
    const head = Buffer.alloc(8)
    head.writeFloatLE(id < 259 ? 0 : (scores?.[id - 259] ?? 259 - id))
    head.writeInt32LE(piece.length, 4)
    return [head, piece]
  })
  return new Uint8Array(Buffer.concat([header, ...records]))
}

export const tinyTexts = [' ', 'a', 'b', ' a', 'ab'] as const

/** A version-0 checkpoint with the tiny model's shape. Values count up from 0, so that each says where it was read. */
export function llama2cCheckpoint({ untied = false } = {}): Uint8Array {
  const { hiddenSize: dim, intermediateSize: hidden, blockCount: layers, headCount, kvHeadCount } = tinyConfig
  const vocabulary = tinyConfig.vocabularySize
  const keys = kvHeadCount * tinyConfig.headSize
  const block = 2 * dim + 2 * dim * dim + 2 * dim * keys + 3 * dim * hidden
  const rotary = tinyConfig.contextLength * tinyConfig.headSize
  const floats = (untied ? 2 : 1) * vocabulary * dim + layers * block + dim + rotary
  const header = Int32Array.of(
    dim,
    hidden,
    layers,
    headCount,
    kvHeadCount,
    untied ? -vocabulary : vocabulary,
    tinyConfig.contextLength,
  )
  const values = Float32Array.from({ length: floats }, (_, i) => i)
  return new Uint8Array(Buffer.concat([Buffer.from(header.buffer), Buffer.from(values.buffer)]))
}

/** Writes a checkpoint and its vocabulary into `folder`. */
export async function writeLlama2cFolder(folder: string, checkpoint = llama2cCheckpoint()): Promise<string> {
  await writeFile(join(folder, 'tiny.bin'), checkpoint)
  await writeFile(join(folder, 'tok264.bin'), llama2cVocabulary(tinyTexts))
  return join(folder, 'tiny.bin')
}
