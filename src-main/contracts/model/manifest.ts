/**
 * A model's manifest: everything needed to decide about a model (shape, memory, compatibility) without reading a tensor.
 * Its `digest` names the base model for peers, patches and the ledger; see `docs/formats/model-manifest.md`.
 */
import * as z from 'zod'
import { digestSchema } from '../digest.ts'
import { maximumBlockCount } from '../span.ts'

/** Storage types of tensors this version can read. */
export const dtypes = ['F32', 'F16', 'BF16'] as const
export type Dtype = (typeof dtypes)[number]
export const bytesPerElement: Readonly<Record<Dtype, number>> = { F32: 4, F16: 2, BF16: 2 }

const dimension = z
  .int()
  .min(1)
  .max(1 << 20)

/** The shape of a Llama: RMSNorm, rotary positions, grouped-query attention, SwiGLU. */
export const modelConfigSchema = z
  .strictObject({
    architecture: z.literal('llama'),
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
    kind: z.enum(['huggingface', 'llama2c']),
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
    } as const
  },
} as const
export type BlockTensorNames = ReturnType<typeof tensorNames.block>
