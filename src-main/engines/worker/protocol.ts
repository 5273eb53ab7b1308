/**
 * What a client asks of a compute worker and what it is answered. Things in the worker (runners, ends, sessions, patches,
 * trainees) have ids that the client chose, so that opening and closing need no answer; arrays travel beside the messages,
 * in the order that each request names. Both ends parse what they get: one may be of another version.
 */
import * as z from 'zod'
import { spanSchema } from '#contracts/span.ts'
import { scaleTargets, weightFormats } from '#core/ports/engine.ts'
import { wireErrorSchema } from './wire-error.ts'

/** Raised with every change of what is below. */
export const protocolVersion = 3

const id = z.int().min(1)
const count = z.int().min(0)
/** Any number: what is not a good one, the engine refuses in its own words, and a loss may be NaN. */
const real = z.custom<number>((value) => typeof value === 'number')
const patches = z.array(id)
const placedSession = z.strictObject({
  session: id,
  /** Positions the client counts. What the worker has beyond them is of a call that was given up: it is forgotten first. */
  length: count,
})

const numericsClassSchema = z.strictObject({
  backend: z.string(),
  kernelVersion: z.string(),
  weights: z.enum(weightFormats),
  weightGroup: real.nullable(),
  activations: z.enum(['float32', 'int8']),
})

/** An `entries` parameter has its indices among the arrays. */
const parameterSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('tensor'), name: z.string() }),
  z.strictObject({ kind: z.literal('entries'), name: z.string() }),
  z.strictObject({ kind: z.literal('scale'), block: real, target: z.enum(scaleTargets) }),
])
export type WireParameter = z.infer<typeof parameterSchema>

const stepGradient = {
  divisor: real.exactOptional(),
  gradientScale: real.exactOptional(),
  maximumNorm: real.exactOptional(),
}
const optimizerStepSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('sgd'), learningRate: real, ...stepGradient }),
  z.strictObject({
    kind: z.literal('adamw'),
    learningRate: real,
    beta1: real,
    beta2: real,
    epsilon: real,
    weightDecay: real,
    ...stepGradient,
  }),
])

/** For each delta indices, values; for each scale values; for each pair of factors left, right are among the arrays. */
const patchSchema = z.strictObject({
  deltas: z.array(z.strictObject({ tensor: z.string() })),
  scales: z.array(z.strictObject({ block: real, target: z.enum(scaleTargets) })),
  factors: z.array(z.strictObject({ tensor: z.string(), rank: real })),
})
export type WirePatch = z.infer<typeof patchSchema>

/** The weights of examples that have them are the arrays, in order. */
const batchSchema = z.array(
  z.strictObject({ tokens: z.array(real), targets: z.array(real).exactOptional(), isWeighted: z.boolean() }),
)
export type WireBatch = z.infer<typeof batchSchema>

const loadOptions = { model: z.string(), threads: real, format: z.enum(weightFormats).exactOptional() }

/** Requests that are answered. Comments name the arrays of the request -> of the answer. */
const requestSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('load-span'), part: id, span: spanSchema, ...loadOptions }),
  z.strictObject({ kind: z.literal('load-ends'), part: id, ...loadOptions }),
  z.strictObject({ kind: z.literal('dispose-part'), part: id }),
  /** those of the patch -> */
  z.strictObject({ kind: z.literal('load-patch'), part: id, patch: id, content: patchSchema }),
  /** hidden of each step -> output of each */
  z.strictObject({ kind: z.literal('forward'), part: id, steps: z.array(placedSession).min(1) }),
  /** -> cache */
  z.strictObject({ kind: z.literal('export-cache'), ...placedSession.shape }),
  /** cache -> */
  z.strictObject({ kind: z.literal('import-cache'), ...placedSession.shape }),
  /** hidden, output gradient, indices of each `entries` parameter -> input gradient, gradient of each parameter */
  z.strictObject({
    kind: z.literal('backward'),
    part: id,
    span: spanSchema.exactOptional(),
    after: placedSession.exactOptional(),
    patches,
    parameters: z.array(parameterSchema),
  }),
  /** -> hidden */
  z.strictObject({ kind: z.literal('embed'), part: id, tokens: z.array(real), patches }),
  /** hidden -> logits */
  z.strictObject({ kind: z.literal('logits'), part: id, patches }),
  /** indices of each `entries` parameter, those of each patch -> */
  z.strictObject({
    kind: z.literal('load-trainee'),
    part: id,
    model: z.string(),
    threads: real,
    parameters: z.array(parameterSchema),
    on: z.array(patchSchema),
  }),
  /** weights of the batch -> */
  z.strictObject({ kind: z.literal('loss'), part: id, batch: batchSchema }),
  /** weights of the batch -> gradient of each parameter */
  z.strictObject({ kind: z.literal('gradients'), part: id, batch: batchSchema }),
  /** weights of the batch -> */
  z.strictObject({ kind: z.literal('step'), part: id, batch: batchSchema, optimizer: optimizerStepSchema }),
  /** -> log-probabilities of each example's targets */
  z.strictObject({ kind: z.literal('log-probabilities'), part: id, batch: batchSchema }),
  /** -> targets drawn for each example */
  z.strictObject({ kind: z.literal('sample-targets'), part: id, batch: batchSchema, seed: real }),
  /** weights of the batch -> squared gradients of each parameter */
  z.strictObject({ kind: z.literal('squared-gradients'), part: id, batch: batchSchema }),
  /** -> values */
  z.strictObject({ kind: z.literal('values'), part: id, index: real }),
  /** values -> */
  z.strictObject({ kind: z.literal('set-values'), part: id, index: real }),
  /** -> first and second moments of each parameter, or nothing */
  z.strictObject({ kind: z.literal('export-optimizer'), part: id }),
  /** first and second moments of each parameter, or nothing -> */
  z.strictObject({ kind: z.literal('import-optimizer'), part: id, steps: real }),
  z.strictObject({ kind: z.literal('stats') }),
  /** Answered at once, as soon as no computation holds the thread. */
  z.strictObject({ kind: z.literal('ping') }),
])
export type Request = z.infer<typeof requestSchema>
export type RequestKind = Request['kind']
export type RequestOf<K extends RequestKind> = Extract<Request, { kind: K }>

/** Requests without an answer. What fails in them fails the next request about the same thing. */
const noticeSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('open-session'),
    part: id,
    session: id,
    maxLength: count,
    span: spanSchema,
    patches,
  }),
  z.strictObject({ kind: z.literal('fork-session'), session: id, from: placedSession, length: count }),
  z.strictObject({ kind: z.literal('truncate-session'), ...placedSession.shape }),
  z.strictObject({ kind: z.literal('close-session'), session: id }),
  z.strictObject({ kind: z.literal('drop-patch'), patch: id }),
  /** The client has given up a call; its answer will be ignored. */
  z.strictObject({ kind: z.literal('cancel'), call: id }),
  /** Free everything and end. */
  z.strictObject({ kind: z.literal('end') }),
])
export type Notice = z.infer<typeof noticeSchema>

export const toWorkerSchema = z.union([
  z.strictObject({ call: id, request: requestSchema }),
  z.strictObject({ notice: noticeSchema }),
])
export type ToWorker = z.infer<typeof toWorkerSchema>

const held = { weightBytes: count, numericsClass: numericsClassSchema }
const loss = z.strictObject({ lossSum: real, weightSum: real })
const nothing = z.strictObject({})

/** What a worker holds. */
export const workerStatsSchema = z.strictObject({
  /** Of the whole process, which a thread shares with the rest of the node. */
  residentBytes: count,
  weightBytes: count,
  /** KV caches, pages shared by sessions counted in each. */
  cacheBytes: count,
  patchBytes: count,
  parts: count,
  sessions: count,
  patches: count,
})
export type WorkerStats = Readonly<z.infer<typeof workerStatsSchema>>

export const answerSchemas = {
  'load-span': z.strictObject(held),
  'load-ends': z.strictObject(held),
  'dispose-part': nothing,
  'load-patch': z.strictObject({ weightBytes: count }),
  forward: z.strictObject({ cacheBytes: z.array(count) }),
  'export-cache': nothing,
  'import-cache': z.strictObject({ length: count, cacheBytes: count }),
  backward: nothing,
  embed: nothing,
  logits: nothing,
  'load-trainee': z.strictObject({ parameterCount: count }),
  loss,
  gradients: loss,
  step: loss.extend({ gradientNorm: real, optimizerStateBytes: count }),
  'log-probabilities': nothing,
  'sample-targets': nothing,
  'squared-gradients': nothing,
  values: nothing,
  'set-values': nothing,
  'export-optimizer': z.strictObject({ steps: count }),
  'import-optimizer': z.strictObject({ optimizerStateBytes: count }),
  stats: workerStatsSchema,
  ping: nothing,
} satisfies Record<RequestKind, z.ZodType>
export type Answer<K extends RequestKind> = z.infer<(typeof answerSchemas)[K]>

export const descriptionSchema = z.strictObject({
  backend: z.string().min(1),
  /** One for each format the engine has. */
  numericsClasses: z.array(numericsClassSchema).min(1),
  trains: z.boolean(),
})
/** What a worker computes with. The same in every process of one remote engine. */
export type ComputeDescription = Readonly<z.infer<typeof descriptionSchema>>

export const fromWorkerSchema = z.discriminatedUnion('kind', [
  /** The first message. */
  z.strictObject({ kind: z.literal('hello'), protocol: z.literal(protocolVersion), description: descriptionSchema }),
  z.strictObject({ kind: z.literal('answer'), call: id, answer: z.unknown() }),
  z.strictObject({ kind: z.literal('failed'), call: id, error: wireErrorSchema }),
  z.strictObject({ kind: z.literal('progress'), call: id, blocksLoaded: count, blocksTotal: count }),
  /** A session's cache is of another size than before. */
  z.strictObject({ kind: z.literal('cache'), session: id, cacheBytes: count }),
])
export type FromWorker = z.infer<typeof fromWorkerSchema>
