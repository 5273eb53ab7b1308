/** Generating text: the request, and the events that come back while it runs. */
import * as z from 'zod'
import { errorCodes } from '../errors.ts'
import { spanSchema } from '../span.ts'
import { patchNameSchema } from './patches.ts'

export const maximumPromptCharacters = 200_000

export const samplingSchema = z.strictObject({
  /** 0 takes the likeliest token every time (greedy). */
  temperature: z.number().min(0).max(10).default(0),
  /** Keep the smallest set of tokens whose probabilities sum to this; 1 keeps all. */
  topP: z.number().gt(0).max(1).default(1),
  /** Keep this many of the likeliest tokens; 0 keeps all. */
  topK: z
    .int()
    .min(0)
    .max(1 << 22)
    .default(0),
  /** Same seed, same text on the same numerics class; null draws one. */
  seed: z.int().min(0).max(0xffffffff).nullable().default(null),
  /** Generation ends before any of these. */
  stop: z.array(z.string().min(1).max(256)).max(16).default([]),
})
export type Sampling = Readonly<z.infer<typeof samplingSchema>>

export const generateRequestSchema = z.strictObject({
  /** Name, digest or digest prefix; null for the model this node hosts. */
  model: z.string().min(1).max(128).nullable().default(null),
  prompt: z.string().max(maximumPromptCharacters),
  maxTokens: z.int().min(1).max(100_000),
  sampling: samplingSchema.prefault({}),
  /** Use only this machine's blocks. */
  localOnly: z.boolean().default(false),
  /** Digests, prefixes or tags of patches on this model, applied together in this text only. */
  patches: z.array(patchNameSchema).max(8).default([]),
})
export type GenerateRequest = Readonly<z.infer<typeof generateRequestSchema>>
export type GenerateInput = z.input<typeof generateRequestSchema>

/** One hop of the route: which peer runs which blocks. */
export const hopSchema = z.strictObject({
  peerId: z.string(),
  nodeName: z.string().max(64).nullable(),
  /** True when the hop is this machine. */
  local: z.boolean(),
  span: spanSchema,
})
export type Hop = Readonly<z.infer<typeof hopSchema>>

/** What one hop did in a finished generation. */
export const hopReportSchema = hopSchema.extend({
  tokensIn: z.int().min(0),
  tokensOut: z.int().min(0),
  bytesSent: z.int().min(0),
  bytesReceived: z.int().min(0),
  outcome: z.enum(['completed', 'interrupted', 'failed']),
})
export type HopReport = Readonly<z.infer<typeof hopReportSchema>>

export const generateEventSchema = z.discriminatedUnion('type', [
  /** The route in use; sent again after a failover, with the peer that was lost. */
  z.strictObject({ type: z.literal('route'), hops: z.array(hopSchema), lostPeerId: z.string().nullable() }),
  z.strictObject({ type: z.literal('prompt'), tokens: z.int().min(0), milliseconds: z.number().min(0) }),
  /** Text that became certain; may be empty while a character is incomplete. */
  z.strictObject({ type: z.literal('text'), text: z.string(), tokens: z.int().min(0) }),
  z.strictObject({
    type: z.literal('end'),
    reason: z.enum(['length', 'end-token', 'stop-string']),
    tokens: z.int().min(0),
    seed: z.int().min(0),
    tokensPerSecond: z.number().min(0).nullable(),
    hops: z.array(hopReportSchema),
  }),
  /** The text so far stays valid. */
  z.strictObject({
    type: z.literal('error'),
    code: z.enum(errorCodes),
    params: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.number())])),
    tokens: z.int().min(0),
    hops: z.array(hopReportSchema),
  }),
])
export type GenerateEvent = Readonly<z.infer<typeof generateEventSchema>>
