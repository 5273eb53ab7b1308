/** The patches this machine has and those it knows of: what they are, and what can be done with them. */
import * as z from 'zod'
import { digestSchema } from '../digest.ts'
import { errorCodes } from '../errors.ts'
import { patchHeaderSchema } from '../patch-file/header.ts'

const count = z.int().min(0)
const params = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.number())]))
const peerId = z.string().min(1).max(128)

/** Patches are known by digest, a prefix of it of eight characters or more, or a tag. */
export const patchNameSchema = z.string().min(1).max(64)
export const tagSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'lower-case letters, digits, dots, dashes, underscores; at most 63')

/** The header without the list of sections, and what follows from it. */
export const patchSummarySchema = z.strictObject({
  digest: digestSchema,
  header: patchHeaderSchema.omit({ sections: true }),
  /** Of the whole file. */
  sizeBytes: count,
  /** Changed numbers in all. */
  entries: count,
  tensors: count,
  /** `mine`: trained here; `fetched`: from the swarm; `imported`: from a file; `seen`: not here, only heard of. */
  where: z.enum(['mine', 'fetched', 'imported', 'seen']),
  /** What has arrived, of `sizeBytes`. */
  receivedBytes: count,
  /** Offered to the swarm by this node. */
  shared: z.boolean(),
  tags: z.array(tagSchema).max(64),
  addedAtMs: count,
  /** Peers that say they have it, this node left out. */
  holders: count,
  followed: z.boolean(),
})
export type PatchSummary = Readonly<z.infer<typeof patchSummarySchema>>

export const patchListSchema = z.strictObject({
  patches: z.array(patchSummarySchema).max(2_000),
  usage: z.strictObject({ bytes: count, quotaBytes: count }),
  follows: z.array(z.strictObject({ peerId, name: z.string().max(64) })).max(1_000),
})
export type PatchList = Readonly<z.infer<typeof patchListSchema>>

export const patchListRequestSchema = z.strictObject({
  /** Name or digest of the base; null: of every base. */
  model: z.string().min(1).max(128).nullable().default(null),
})
export const patchSearchRequestSchema = z.strictObject({
  model: z.string().min(1).max(128).nullable().default(null),
  timeoutMs: z.int().min(100).max(60_000).default(5_000),
})

/** A tensor's part in a patch. */
export const tensorChangeSchema = z.strictObject({
  tensor: z.string().max(256),
  kind: z.enum(['delta', 'scale', 'factors']),
  entries: count,
  /** Of the tensor. */
  size: count,
  /** L2 norm of the change; of `values - 1` for a scale. */
  norm: z.number().min(0),
  largest: z.number().min(0),
})
export type TensorChange = Readonly<z.infer<typeof tensorChangeSchema>>

export const patchDetailSchema = z.strictObject({
  summary: patchSummarySchema,
  /** Empty for a patch that is not here. */
  tensors: z.array(tensorChangeSchema).max(20_000),
  /** Nearest first; `summary` is null for an ancestor that is not here. */
  ancestors: z
    .array(z.strictObject({ digest: digestSchema, depth: count, summary: patchSummarySchema.nullable() }))
    .max(256),
  children: z.array(digestSchema).max(256),
})
export type PatchDetail = Readonly<z.infer<typeof patchDetailSchema>>

export const patchDiffSchema = z.strictObject({
  left: digestSchema,
  right: digestSchema,
  sameBase: z.boolean(),
  /** Over all tensors: shared entries over those of the smaller mask; cosine of the changes; shared entries of unlike sign. */
  overlap: z.number(),
  cosine: z.number(),
  signConflicts: count,
  tensors: z
    .array(
      z.strictObject({
        tensor: z.string().max(256),
        leftEntries: count,
        rightEntries: count,
        sharedEntries: count,
        overlap: z.number(),
        cosine: z.number(),
        leftNorm: z.number(),
        rightNorm: z.number(),
      }),
    )
    .max(20_000),
})
export type PatchDiff = Readonly<z.infer<typeof patchDiffSchema>>

export const patchRequestSchema = z.strictObject({ patch: patchNameSchema })
export const patchDiffRequestSchema = z.strictObject({ left: patchNameSchema, right: patchNameSchema })
export const patchShareSchema = patchRequestSchema.extend({ shared: z.boolean() })
export const patchTagSchema = z.strictObject({ tag: tagSchema, patch: patchNameSchema.nullable() })
export const followSchema = z.strictObject({ peerId, name: z.string().max(64).default(''), followed: z.boolean() })
/** Paths are on the node's machine. */
export const patchImportSchema = z.strictObject({
  path: z.string().min(1).max(4_096),
  /** For files of other programs, which do not say: name or digest of the base. */
  model: z.string().min(1).max(128).nullable().default(null),
  title: z.string().min(1).max(80).nullable().default(null),
})
export const patchExportFormats = ['patch', 'peft', 'safetensors', 'sparse'] as const
export const patchExportSchema = patchRequestSchema.extend({
  path: z.string().min(1).max(4_096),
  /** `patch`: as it is; `peft`: adapter folder; `safetensors`: the whole patched model; `sparse`: a git-theta-like sparse update. */
  format: z.enum(patchExportFormats).default('patch'),
})

export const patchFetchEventSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('progress'), receivedBytes: count, sizeBytes: count, peerId: peerId.nullable() }),
  /** A peer that sent wrong bytes or went away; the fetch goes on with others. */
  z.strictObject({ type: z.literal('dropped'), peerId, why: z.string().max(300) }),
  z.strictObject({ type: z.literal('done'), patch: patchSummarySchema }),
  z.strictObject({ type: z.literal('error'), code: z.enum(errorCodes), params }),
])
export type PatchFetchEvent = Readonly<z.infer<typeof patchFetchEventSchema>>

export type PatchListRequest = Readonly<z.infer<typeof patchListRequestSchema>>
export type PatchSearchRequest = Readonly<z.infer<typeof patchSearchRequestSchema>>
export type PatchDiffRequest = Readonly<z.infer<typeof patchDiffRequestSchema>>
export type Follow = Readonly<z.infer<typeof followSchema>>
export type PatchImport = Readonly<z.infer<typeof patchImportSchema>>
export type PatchExport = Readonly<z.infer<typeof patchExportSchema>>
