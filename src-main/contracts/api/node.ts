/** What the UI and the tray know of the node: one snapshot, sent anew whenever something in it changed. */
import * as z from 'zod'
import { digestSchema } from '../digest.ts'
import { errorCodes } from '../errors.ts'
import { modelConfigSchema } from '../model/manifest.ts'
import { spanSchema } from '../span.ts'
import { budgetSchema, noBudgetReasons } from './hardware.ts'

const count = z.int().min(0)

export const modelSummarySchema = z.strictObject({
  digest: digestSchema,
  name: z.string(),
  config: modelConfigSchema,
  /** All tensors as stored. */
  sizeBytes: count,
  licence: z.string().nullable(),
})
export type ModelSummary = Readonly<z.infer<typeof modelSummarySchema>>

/** One block of the model and who holds it now. */
export const blockCoverageSchema = z.strictObject({
  block: count,
  /** Peer ids of the holders, this node's own among them when it hosts the block. */
  holders: z.array(z.string()),
  mine: z.boolean(),
})
export type BlockCoverage = Readonly<z.infer<typeof blockCoverageSchema>>

export const peerSummarySchema = z.strictObject({
  peerId: z.string(),
  nodeName: z.string().max(64).nullable(),
  direction: z.enum(['inbound', 'outbound']),
  rttMs: z.number().min(0).nullable(),
  /** Spans of the hosted model that it offers. */
  spans: z.array(spanSchema),
})
export type PeerSummary = Readonly<z.infer<typeof peerSummarySchema>>

export const hostingStateSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('starting') }),
  /** Trying which engine is the fastest here, which happens once for a shape of model. */
  z.strictObject({ kind: z.literal('measuring'), done: count, total: count }),
  z.strictObject({
    kind: z.literal('loading'),
    span: spanSchema,
    blocksLoaded: count,
    blocksTotal: count,
    /** They were here, and are lost with an engine that broke. */
    again: z.boolean(),
  }),
  z.strictObject({
    kind: z.literal('hosting'),
    span: spanSchema,
    sessions: count,
    /** What the node's process takes in all: weights, session caches, and the program itself. */
    memoryBytes: count,
  }),
  z.strictObject({
    kind: z.literal('paused'),
    reason: z.enum(noBudgetReasons),
    /** When it resumes by itself; null: when the owner says so, or the reason ends. */
    untilMs: count.nullable(),
  }),
  z.strictObject({
    kind: z.literal('failed'),
    code: z.enum(errorCodes),
    params: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.number())])),
  }),
])
export type HostingState = Readonly<z.infer<typeof hostingStateSchema>>

export const engineReasons = [
  'small-model',
  'asked-for',
  'owner-chose',
  'owner-chose-backend',
  'fastest',
  'as-fast-and-simpler',
  'only-one',
  'memory',
  'smallest',
] as const
/** The backend and the weights' format a model is computed with, and why these. */
export const engineInUseSchema = z.strictObject({
  backend: z.string().max(64),
  format: z.enum(['float32', 'float16', 'int8', 'int4']),
  why: z.enum(engineReasons),
})
export type EngineInUse = Readonly<z.infer<typeof engineInUseSchema>>

export const totalsSchema = z.strictObject({
  servedSessions: count,
  servedTokens: count,
  usedSessions: count,
  usedTokens: count,
  bytesReceived: count,
  bytesSent: count,
})
export type Totals = Readonly<z.infer<typeof totalsSchema>>

export const nodeStatusSchema = z.strictObject({
  nodeName: z.string().max(64),
  peerId: z.string(),
  version: z.string(),
  startedAtMs: count,
  addresses: z.array(z.string()),
  hosting: hostingStateSchema,
  model: modelSummarySchema.nullable(),
  budget: budgetSchema.nullable(),
  /** What computes the model's blocks; null before that is decided. */
  engine: engineInUseSchema.nullable(),
  coverage: z.array(blockCoverageSchema),
  peers: z.array(peerSummarySchema),
  /** Since local midnight. */
  today: totalsSchema,
  ledgerEntries: count,
})
export type NodeStatus = Readonly<z.infer<typeof nodeStatusSchema>>
