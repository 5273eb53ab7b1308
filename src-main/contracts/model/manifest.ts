/**
 * A model's manifest: everything needed to decide about a model (shape, memory, compatibility) without reading a tensor.
 * Its `digest` names the base model for peers, patches and the ledger; see `docs/formats/model-manifest.md`.
 */
import * as z from 'zod'
import { digestSchema } from '../digest.ts'
import { maximumBlockCount } from '../span.ts'

/** Storage types of tensors this version can read: floats, and GGUF's quantised blocks by their names there. */
export const dtypes = ['F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_1', 'Q4_K', 'Q6_K'] as const
export type Dtype = (typeof dtypes)[number]

/** A stored tensor is a sequence of blocks of `elements` numbers in `bytes` bytes; rows are whole blocks. */
export const dtypeBlocks: Readonly<Record<Dtype, { readonly elements: number; readonly bytes: number }>> = {
  F32: { elements: 1, bytes: 4 },
  F16: { elements: 1, bytes: 2 },
  BF16: { elements: 1, bytes: 2 },
  Q8_0: { elements: 32, bytes: 34 },
  Q4_0: { elements: 32, bytes: 18 },
  Q4_1: { elements: 32, bytes: 20 },
  Q4_K: { elements: 256, bytes: 144 },
  Q6_K: { elements: 256, bytes: 210 },
}

/** Bytes of `elementCount` numbers stored as `dtype`; a whole number of blocks, or not whole bytes come out. */
export function storedBytes(dtype: Dtype, elementCount: number): number {
  const { elements, bytes } = dtypeBlocks[dtype]
  return (elementCount / elements) * bytes
}

const dimension = z
  .int()
  .min(1)
  .max(1 << 20)

/** How rotary frequencies are stretched for longer contexts than a model was first trained on. */
export const ropeScalingSchema = z.discriminatedUnion('kind', [
  /** All frequencies divided by `factor`. */
  z.strictObject({ kind: z.literal('linear'), factor: z.number().min(1).max(1024) }),
  /** Llama 3.1: low frequencies divided, high ones kept, a smooth passage between them. */
  z
    .strictObject({
      kind: z.literal('llama3'),
      factor: z.number().min(1).max(1024),
      lowFrequencyFactor: z.number().positive().max(1024),
      highFrequencyFactor: z.number().positive().max(1024),
      originalContextLength: z
        .int()
        .min(1)
        .max(1 << 24),
    })
    .refine(({ lowFrequencyFactor, highFrequencyFactor }) => highFrequencyFactor > lowFrequencyFactor, {
      message: 'highFrequencyFactor is above lowFrequencyFactor',
      path: ['highFrequencyFactor'],
    }),
])
export type RopeScaling = Readonly<z.infer<typeof ropeScalingSchema>>

export const architectures = ['llama', 'mistral', 'qwen2', 'qwen3'] as const
export type Architecture = (typeof architectures)[number]

/**
 * The shape of a Llama and its relatives: RMSNorm, rotary positions, grouped-query attention, SwiGLU. What a relative adds
 * is an optional field, absent where it does not apply: the digests of models without it stay what they were.
 */
export const modelConfigSchema = z
  .strictObject({
    architecture: z.enum(architectures),
    hiddenSize: dimension,
    intermediateSize: dimension,
    blockCount: z.int().min(1).max(maximumBlockCount),
    headCount: z.int().min(1).max(4096),
    kvHeadCount: z.int().min(1).max(4096),
    headSize: z.int().min(2).max(4096),
    vocabularySize: z
      .int()
      .min(1)
      .max(1 << 22),
    contextLength: z
      .int()
      .min(1)
      .max(1 << 24),
    rmsNormEpsilon: z.number().positive().max(1),
    ropeTheta: z.number().positive(),
    /** `half` pairs (i, i + headSize/2) as Hugging Face does, `interleaved` pairs (2i, 2i+1) as llama2.c does. */
    ropeStyle: z.enum(['half', 'interleaved']),
    tiedHead: z.boolean(),
    ropeScaling: ropeScalingSchema.optional(),
    /** A position attends to itself and the `slidingWindow - 1` before it (Mistral). */
    slidingWindow: z
      .int()
      .min(1)
      .max(1 << 24)
      .optional(),
    /** Query, key and value projections have biases (Qwen2). */
    attentionBias: z.literal(true).optional(),
    /** Query and key heads are RMS-normed, with a gain, before rotation (Qwen3). */
    queryKeyNorm: z.literal(true).optional(),
  })
  .refine((config) => config.headCount % config.kvHeadCount === 0, {
    message: 'headCount is a multiple of kvHeadCount',
    path: ['kvHeadCount'],
  })
  .refine((config) => config.headSize % 2 === 0, { message: 'headSize is even', path: ['headSize'] })
export type ModelConfig = Readonly<z.infer<typeof modelConfigSchema>>

export const tensorEntrySchema = z.strictObject({
  name: z.string().min(1).max(256),
  dtype: z.enum(dtypes),
  shape: z
    .array(
      dimension.or(
        z
          .int()
          .min(1)
          .max(1 << 22),
      ),
    )
    .min(1)
    .max(4),
  /** SHA-256 of the tensor's bytes as stored (little-endian, row-major). */
  sha256: digestSchema,
})
export type TensorEntry = Readonly<z.infer<typeof tensorEntrySchema>>

export const modelManifestSchema = z.strictObject({
  formatVersion: z.literal(1),
  /** SHA-256 over the canonical bytes of `config` and `tensors` (see `core`'s `modelDigest`). */
  digest: digestSchema,
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'letters, digits, dots, dashes, underscores; at most 64'),
  config: modelConfigSchema,
  tensors: z.array(tensorEntrySchema).min(1).max(20_000),
  tokenizer: z.strictObject({
    kind: z.enum(['huggingface', 'llama2c', 'gguf']),
    beginToken: z.int().min(0).nullable(),
    endTokens: z.array(z.int().min(0)).max(16),
    sha256: digestSchema,
  }),
  licence: z.string().max(128).nullable(),
})
export type ModelManifest = Readonly<z.infer<typeof modelManifestSchema>>

/** The canonical tensor names: Hugging Face's Llama names, whatever format the model came from. All matrices are (out, in). */
export const tensorNames = {
  embedding: 'model.embed_tokens.weight', // (vocabulary, hidden)
  finalNorm: 'model.norm.weight', // (hidden,)
  head: 'lm_head.weight', // (vocabulary, hidden); absent when tied to the embedding
  block: (index: number) => {
    const prefix = `model.layers.${index}`
    return {
      attentionNorm: `${prefix}.input_layernorm.weight`, // (hidden,)
      query: `${prefix}.self_attn.q_proj.weight`, // (heads * headSize, hidden)
      key: `${prefix}.self_attn.k_proj.weight`, // (kvHeads * headSize, hidden)
      value: `${prefix}.self_attn.v_proj.weight`, // (kvHeads * headSize, hidden)
      output: `${prefix}.self_attn.o_proj.weight`, // (hidden, heads * headSize)
      feedForwardNorm: `${prefix}.post_attention_layernorm.weight`, // (hidden,)
      gate: `${prefix}.mlp.gate_proj.weight`, // (intermediate, hidden)
      up: `${prefix}.mlp.up_proj.weight`, // (intermediate, hidden)
      down: `${prefix}.mlp.down_proj.weight`, // (hidden, intermediate)
      queryBias: `${prefix}.self_attn.q_proj.bias`, // (heads * headSize,); these three with `attentionBias`
      keyBias: `${prefix}.self_attn.k_proj.bias`, // (kvHeads * headSize,)
      valueBias: `${prefix}.self_attn.v_proj.bias`, // (kvHeads * headSize,)
      queryNorm: `${prefix}.self_attn.q_norm.weight`, // (headSize,); these two with `queryKeyNorm`
      keyNorm: `${prefix}.self_attn.k_norm.weight`, // (headSize,)
    } as const
  },
} as const
export type BlockTensorNames = ReturnType<typeof tensorNames.block>
export type BlockTensorRole = keyof BlockTensorNames
/** Roles that only some architectures have. */
export type OptionalBlockTensorRole = 'queryBias' | 'keyBias' | 'valueBias' | 'queryNorm' | 'keyNorm'
