/**
 * Writes GGUF, for tests and benches: metadata and tensors of every type we read, front to back with little memory, so
 * that a file of 500 MB is no trouble. It shares no code with the reader.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { type FileHandle, open } from 'node:fs/promises'
import { type Dtype, type ModelConfig, storedBytes, tensorNames } from '#contracts/model/manifest.ts'
import { quantise } from './gguf-quantise.ts'

export type GgufScalar =
  | { readonly type: 'uint32' | 'int32' | 'float32' | 'float64'; readonly value: number }
  | { readonly type: 'uint64' | 'int64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
export type GgufArray =
  | { readonly type: 'array'; readonly of: 'string'; readonly value: readonly string[] }
  | { readonly type: 'array'; readonly of: 'float32' | 'int32' | 'uint32'; readonly value: ArrayLike<number> }
export type GgufMetadata = Readonly<Record<string, GgufScalar | GgufArray>>

export const u32 = (value: number): GgufScalar => ({ type: 'uint32', value })
export const f32 = (value: number): GgufScalar => ({ type: 'float32', value })
export const flag = (value: boolean): GgufScalar => ({ type: 'bool', value })
export const text = (value: string): GgufScalar => ({ type: 'string', value })
export const texts = (value: readonly string[]): GgufArray => ({ type: 'array', of: 'string', value })
export const f32s = (value: ArrayLike<number>): GgufArray => ({ type: 'array', of: 'float32', value })
export const i32s = (value: ArrayLike<number>): GgufArray => ({ type: 'array', of: 'int32', value })

export interface GgufTensorPlan {
  /** GGUF's name: `blk.0.attn_q.weight`. */
  readonly name: string
  readonly dtype: Dtype
  /** Rows first; written the other way round, as GGUF wants it. */
  readonly shape: readonly number[]
  /** Fills `chunk` with the elements from `start` on, row-major. Chunks come in order and are whole blocks. */
  fill(chunk: Float32Array, start: number): void
}

export interface GgufFilePlan {
  readonly metadata: GgufMetadata
  readonly tensors: readonly GgufTensorPlan[]
  readonly version?: number
  readonly alignment?: number
}

/** Tensors from an array in memory. */
export function fromFloats(values: Float32Array): GgufTensorPlan['fill'] {
  return (chunk, start) => chunk.set(values.subarray(start, start + chunk.length))
}

/** Numbers like those of an untrained model, from -scale to scale, the same for the same seed. */
export function randomFill(seed: number, scale: number): GgufTensorPlan['fill'] {
  let state = seed | 1
  return (chunk) => {
    for (let i = 0; i < chunk.length; i++) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      chunk[i] = (state / 2 ** 31) * scale
    }
  }
}

export async function writeGguf(path: string, plan: GgufFilePlan): Promise<void> {
  const handle = await open(path, 'w')
  try {
    await write(handle, ggufHeader(plan))
    for (const tensor of plan.tensors) await writeTensor(handle, tensor, plan.alignment ?? 32)
  } finally {
    await handle.close()
  }
}

/** The whole file in memory, for tests that damage it. */
export function ggufBytes(plan: GgufFilePlan): Uint8Array {
  const parts = [ggufHeader(plan)]
  for (const tensor of plan.tensors) {
    const bytes = [...tensorChunks(tensor)]
    parts.push(...bytes, padding(total(bytes), plan.alignment ?? 32))
  }
  return new Uint8Array(Buffer.concat(parts))
}

/** Everything before the tensors' bytes, padding included. */
export function ggufHeader({ metadata, tensors, version = 3, alignment = 32 }: GgufFilePlan): Uint8Array {
  const pairs = Object.entries(metadata).flatMap(([key, value]) => [string(key), encodeValue(value)])
  let offset = 0
  const infos = tensors.map(({ name, dtype, shape }) => {
    const info = [string(name), number(4, shape.length), ...[...shape].reverse().map(long)]
    const place = [number(4, typeNumbers[dtype]), long(offset)]
    offset += align(
      storedBytes(
        dtype,
        shape.reduce((a, b) => a * b, 1),
      ),
      alignment,
    )
    return Buffer.concat([...info, ...place])
  })
  const counts = [long(tensors.length), long(Object.keys(metadata).length)]
  const header = Buffer.concat([Buffer.from('GGUF'), number(4, version), ...counts, ...pairs, ...infos])
  return Buffer.concat([header, padding(header.length, alignment)])
}

const typeNumbers: Readonly<Record<Dtype, number>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 8,
  Q4_K: 12,
  Q6_K: 14,
  BF16: 30,
}
const valueTypes = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, uint64: 10, int64: 11, float64: 12 } as const

function encodeValue(value: GgufScalar | GgufArray): Buffer {
  if (value.type !== 'array') return Buffer.concat([number(4, valueTypes[value.type]), encodeScalar(value)])
  const head = [number(4, 9), number(4, valueTypes[value.of]), long(value.value.length)]
  if (value.of === 'string') return Buffer.concat([...head, ...value.value.map(string)])
  const { of } = value
  return Buffer.concat([...head, ...Array.from(value.value, (each) => encodeScalar({ type: of, value: each }))])
}

function encodeScalar(scalar: GgufScalar): Buffer {
  const bytes = Buffer.alloc(8)
  switch (scalar.type) {
    case 'uint32':
      return bytes.subarray(0, bytes.writeUInt32LE(scalar.value))
    case 'int32':
      return bytes.subarray(0, bytes.writeInt32LE(scalar.value))
    case 'float32':
      return bytes.subarray(0, bytes.writeFloatLE(scalar.value))
    case 'float64':
      return bytes.subarray(0, bytes.writeDoubleLE(scalar.value))
    case 'uint64':
      return bytes.subarray(0, bytes.writeBigUInt64LE(scalar.value))
    case 'int64':
      return bytes.subarray(0, bytes.writeBigInt64LE(scalar.value))
    case 'bool':
      return Buffer.of(scalar.value ? 1 : 0)
    case 'string':
      return string(scalar.value)
  }
}

function string(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([long(bytes.length), bytes])
}

function number(byteLength: 4, value: number): Buffer {
  const bytes = Buffer.alloc(byteLength)
  bytes.writeUInt32LE(value)
  return bytes
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

/** 256 divides it, so every chunk but the last is whole blocks of any type; the last is what is left of whole rows. */
const chunkElements = 1 << 20

function* tensorChunks({ dtype, shape, fill }: GgufTensorPlan): Generator<Uint8Array> {
  const count = shape.reduce((a, b) => a * b, 1)
  for (let start = 0; start < count; start += chunkElements) {
    const chunk = new Float32Array(Math.min(chunkElements, count - start))
    fill(chunk, start)
    yield quantise(dtype, chunk)
  }
}

async function writeTensor(handle: FileHandle, tensor: GgufTensorPlan, alignment: number): Promise<void> {
  let written = 0
  for (const bytes of tensorChunks(tensor)) {
    await write(handle, bytes)
    written += bytes.length
  }
  await write(handle, padding(written, alignment))
}

async function write(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await handle.write(bytes, done)).bytesWritten
}

function align(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment
}

function padding(bytes: number, alignment: number): Uint8Array {
  return new Uint8Array(align(bytes, alignment) - bytes)
}

function total(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0)
}

/** The shape of a model as metadata. */
export function shapeMetadata(config: ModelConfig): GgufMetadata {
  const key = config.architecture
  return {
    'general.architecture': text(key),
    'general.type': text('model'),
    [`${key}.context_length`]: u32(config.contextLength),
    [`${key}.embedding_length`]: u32(config.hiddenSize),
    [`${key}.block_count`]: u32(config.blockCount),
    [`${key}.feed_forward_length`]: u32(config.intermediateSize),
    [`${key}.attention.head_count`]: u32(config.headCount),
    [`${key}.attention.head_count_kv`]: u32(config.kvHeadCount),
    [`${key}.attention.key_length`]: u32(config.headSize),
    [`${key}.attention.value_length`]: u32(config.headSize),
    [`${key}.attention.layer_norm_rms_epsilon`]: f32(config.rmsNormEpsilon),
    [`${key}.rope.dimension_count`]: u32(config.headSize),
    [`${key}.rope.freq_base`]: f32(config.ropeTheta),
    [`${key}.vocab_size`]: u32(config.vocabularySize),
  }
}

export interface GgufPiece {
  readonly text: string
  readonly score: number
  /** llama.cpp's: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  readonly type: number
}

/** A SentencePiece vocabulary: unknown, begin, end, 256 bytes, then `pieces` in order of falling scores, `▁` for a space. */
export function scoredPieces(pieces: readonly string[]): GgufPiece[] {
  const control = ['<unk>', '<s>', '</s>'].map((each, id) => ({ text: each, score: 0, type: id === 0 ? 2 : 3 }))
  const bytes = Array.from({ length: 256 }, (_, byte) => {
    return { text: `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`, score: 0, type: 6 }
  })
  return [...control, ...bytes, ...pieces.map((each, index) => ({ text: each, score: -index, type: 1 }))]
}

/** A vocabulary of any size for models whose texts do not matter. */
export function anyPieces(count: number): GgufPiece[] {
  return scoredPieces(Array.from({ length: count - 259 }, (_, index) => `▁piece${index}`))
}

export function scoredMetadata(pieces: readonly GgufPiece[]): GgufMetadata {
  return {
    'tokenizer.ggml.model': text('llama'),
    'tokenizer.ggml.pre': text('default'),
    'tokenizer.ggml.tokens': texts(pieces.map((piece) => piece.text)),
    'tokenizer.ggml.scores': f32s(pieces.map(({ score }) => score)),
    'tokenizer.ggml.token_type': i32s(pieces.map(({ type }) => type)),
    'tokenizer.ggml.bos_token_id': u32(1),
    'tokenizer.ggml.eos_token_id': u32(2),
    'tokenizer.ggml.unknown_token_id': u32(0),
  }
}

/** GGUF's name for one of our canonical tensor names. */
export function ggufName(canonical: string): string {
  const ends = new Map<string, string>([
    [tensorNames.embedding, 'token_embd.weight'],
    [tensorNames.finalNorm, 'output_norm.weight'],
    [tensorNames.head, 'output.weight'],
  ])
  const inBlock = /^model\.layers\.(\d+)\.(?:self_attn\.|mlp\.)?(\w+)\.(weight|bias)$/.exec(canonical)
  const end = ends.get(canonical)
  if (end !== undefined) return end
  const name = inBlockNames[inBlock?.[2] ?? '']
  if (inBlock === null || name === undefined) throw new RangeError(`${canonical} has no name in GGUF`)
  return `blk.${inBlock[1]}.${name}.${inBlock[3]}`
}

const inBlockNames: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  q_proj: 'attn_q',
  k_proj: 'attn_k',
  v_proj: 'attn_v',
  o_proj: 'attn_output',
  q_norm: 'attn_q_norm',
  k_norm: 'attn_k_norm',
  post_attention_layernorm: 'ffn_norm',
  gate_proj: 'ffn_gate',
  up_proj: 'ffn_up',
  down_proj: 'ffn_down',
}
