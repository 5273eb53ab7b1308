/**
 * Training a patch: data is looked at, a plan says what it will take, a run carries it out and leaves a patch. Whoever asks
 * is the owner of the machine; data stays on it.
 */
import * as z from 'zod'
import { digestSchema } from '../digest.ts'
import { errorCodes } from '../errors.ts'
import {
  dataCardSchema,
  hyperParametersSchema,
  maskChoiceSchema,
  metricSchema,
  trainingMethods,
  valueFormats,
} from '../patch-file/header.ts'

const count = z.int().min(0)
const finite = z.number()
const params = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.number())]))
export const failureSchema = z.strictObject({ code: z.enum(errorCodes), params })
const modelName = z.string().min(1).max(128)

export const maximumUploadBytes = 256 * 1024 ** 2
export const maximumChunkBytes = 1024 ** 2
export const dataFormats = ['text', 'markdown', 'jsonl', 'csv'] as const

/** A file of training data: handed over by the UI, or named by its absolute path on the node's machine. */
export const dataFileSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('upload'), id: z.uuid() }),
  z.strictObject({ kind: z.literal('path'), path: z.string().min(1).max(4_096) }),
])
export type DataFile = Readonly<z.infer<typeof dataFileSchema>>
const dataFiles = z.array(dataFileSchema).min(1).max(64)

/** One piece of a file, in order: `offset` is what was handed over so far. The first piece has no id, and is answered one. */
export const uploadRequestSchema = z.strictObject({
  id: z.uuid().nullable(),
  name: z.string().min(1).max(255),
  offset: z.int().min(0).max(maximumUploadBytes),
  /** Base64. */
  bytes: z.base64().max(Math.ceil(maximumChunkBytes / 3) * 4),
})
export const uploadAnswerSchema = z.strictObject({ id: z.uuid(), name: z.string(), byteLength: count })

export const dataWarnings = [
  /** Under 20 training examples, or under 2,000 tokens. */
  'too-little',
  /** No held-out example could be set aside. */
  'nothing-held-out',
  'email-addresses',
  'phone-numbers',
  'payment-cards',
  /** Secrets as programs use them: keys, tokens, private key blocks. */
  'secrets',
  /** The base's card says that it was trained on this. */
  'seen-by-base',
  /** More than a third of the documents were dropped as duplicates. */
  'many-duplicates',
  /** Documents that are longer than the model's context were cut into windows. */
  'cut-to-context',
  /** Bytes that are no UTF-8 were replaced. */
  'not-utf8',
  /** Lines or records that fit no known form were left out. */
  'records-skipped',
] as const
export const dataWarningSchema = z.strictObject({
  kind: z.enum(dataWarnings),
  count,
  /** Where the first one is: file and line. */
  where: z.string().max(300).nullable(),
})
export type DataWarning = Readonly<z.infer<typeof dataWarningSchema>>

export const dataPreviewSchema = z.strictObject({
  card: dataCardSchema,
  objective: z.enum(['language-model', 'multiple-choice']),
  files: z.array(
    z.strictObject({ name: z.string().max(300), format: z.enum(dataFormats), bytes: count, documents: count }),
  ),
  /** The first examples as the model will see them, cut to 600 characters. */
  samples: z
    .array(z.strictObject({ where: z.string().max(300), heldOut: z.boolean(), text: z.string().max(600) }))
    .max(8),
  warnings: z.array(dataWarningSchema).max(16),
})
export type DataPreview = Readonly<z.infer<typeof dataPreviewSchema>>

export const dataInspectRequestSchema = z.strictObject({
  model: modelName.nullable().default(null),
  files: dataFiles,
  sequenceLength: z
    .int()
    .min(8)
    .max(1 << 20)
    .nullable()
    .default(null),
})
export const dataInspectEventSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('progress'), bytesDone: count, bytesTotal: count }),
  z.strictObject({ type: z.literal('done'), preview: dataPreviewSchema }),
  z.strictObject({ type: z.literal('error'), ...failureSchema.shape }),
])
export type DataInspectEvent = Readonly<z.infer<typeof dataInspectEventSchema>>

/** How to keep the base from being forgotten: not at all, by text it writes itself, or by text of its own kind given here. */
export const protectionSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('none') }),
  z.strictObject({ kind: z.literal('own-text'), share: z.number().gt(0).max(0.9) }),
  z.strictObject({ kind: z.literal('files'), share: z.number().gt(0).max(0.9), files: dataFiles }),
])
export type Protection = Readonly<z.infer<typeof protectionSchema>>

const hyper = hyperParametersSchema.shape
/** What the owner wants; null where the plan shall choose. */
export const trainRequestSchema = z.strictObject({
  model: modelName.nullable().default(null),
  data: dataFiles,
  dataDescription: z.string().max(2_000).default(''),
  dataLicence: z.string().max(64).default(''),
  title: z.string().min(1).max(80),
  description: z.string().max(2_000).default(''),
  licence: z.string().min(1).max(64).default('CC0-1.0'),
  method: z.enum(trainingMethods).default('fish'),
  mask: maskChoiceSchema.partial().prefault({}),
  /** Takes this mask instead of choosing one: the patch then holds values only. */
  sharedMask: digestSchema.nullable().default(null),
  hyperParameters: hyperParametersSchema
    .omit({ protectedShare: true })
    .partial()
    .extend({ learningRate: hyper.learningRate.nullable().default(null) })
    .prefault({}),
  /** Patches the training stands on. */
  parents: z.array(digestSchema).max(8).default([]),
  protection: protectionSchema.prefault({ kind: 'none' }),
  /** Ends when the held-out loss has not fallen for this many measurements in a row; null: never. */
  patience: z.int().min(1).max(1_000).nullable().default(5),
  valueFormat: z.enum(valueFormats).default('int8'),
  includeFisher: z.boolean().default(false),
  limits: z
    .strictObject({
      /** Beyond the policy's. */
      memoryBytes: count.nullable().default(null),
      /** Of training, not of waiting; then it finishes with what it has. */
      minutes: z.int().min(1).max(100_000).nullable().default(null),
    })
    .prefault({}),
})
export type TrainRequest = Readonly<z.infer<typeof trainRequestSchema>>
export type TrainInput = z.input<typeof trainRequestSchema>

/** What was decided before anything starts, and what it is expected to take. Kept with the run. */
export const runPlanSchema = z.strictObject({
  request: trainRequestSchema,
  base: z.strictObject({ digest: digestSchema, name: modelName }),
  objective: z.enum(['language-model', 'multiple-choice']),
  data: dataCardSchema,
  warnings: z.array(dataWarningSchema).max(16),
  mask: maskChoiceSchema.nullable(),
  /** The rate stands once it was probed; null before. */
  hyperParameters: hyperParametersSchema.extend({ learningRate: hyper.learningRate.nullable() }),
  trainedParameters: count,
  threads: z.int().min(1),
  /** Steps between two measurements of the held-out loss, and between two checkpoints. */
  evaluateEvery: z.int().min(1),
  checkpointEvery: z.int().min(1),
  /** For the patch's date: two runs of one plan then give one file. */
  createdAtMs: count,
  predicted: z.strictObject({
    memoryBytes: count,
    /** From a measured step when there is one, else from the machine's speed; null when neither is known. */
    seconds: z.number().min(0).nullable(),
    patchBytes: count,
    /** Kept on disk while it runs. */
    diskBytes: count,
  }),
  /** Why it cannot start as it is: over the policy's memory, say. Empty when it can. */
  obstacles: z.array(failureSchema).max(8),
})
export type RunPlan = Readonly<z.infer<typeof runPlanSchema>>

export const runPhases = [
  'preparing', // reading data, loading the model
  'measuring', // the base on the held-out text
  'choosing', // Fisher information, mask
  'probing', // learning rates
  'training',
  'evaluating', // the patch as it will be written
  'sampling', // texts before and after
  'writing',
] as const
export type RunPhase = (typeof runPhases)[number]

export const waitReasons = [
  'paused-by-owner',
  'on-battery',
  'memory',
  'serving',
  'another-run',
  'owner-active',
] as const

export const runStateSchema = z.discriminatedUnion('kind', [
  /** In the queue behind another run, or waiting for what the policy asks. */
  z.strictObject({ kind: z.literal('waiting'), reason: z.enum(waitReasons) }),
  z.strictObject({ kind: z.literal('running'), phase: z.enum(runPhases) }),
  /** By hand; until resumed by hand. */
  z.strictObject({ kind: z.literal('paused') }),
  /** By hand: what was trained is kept until the run is removed, no patch was made. */
  z.strictObject({ kind: z.literal('stopped') }),
  z.strictObject({ kind: z.literal('failed'), ...failureSchema.shape }),
  z.strictObject({ kind: z.literal('finished'), patch: digestSchema, earlyStopped: z.boolean() }),
])
export type RunState = Readonly<z.infer<typeof runStateSchema>>

export const runProgressSchema = z.strictObject({
  phase: z.enum(runPhases),
  /** Within the phase: examples, rates, steps, … */
  done: count,
  total: count,
  /** Optimizer steps so far. */
  step: count,
  steps: count,
  tokensPerSecond: z.number().min(0).nullable(),
  remainingSeconds: z.number().min(0).nullable(),
  /** The step of the checkpoint it went on from after the program had ended; null when it never had to. */
  resumedFromStep: count.nullable(),
})
export type RunProgress = Readonly<z.infer<typeof runProgressSchema>>

/** Mean loss in nats a token. `heldOut` at some steps only; step 0 is the base. */
export const curvePointSchema = z.strictObject({
  step: count,
  train: finite.nullable(),
  heldOut: finite.nullable(),
  learningRate: finite.nullable(),
})
export type CurvePoint = Readonly<z.infer<typeof curvePointSchema>>

export const sampleSchema = z.strictObject({
  prompt: z.string().max(2_000),
  before: z.string().max(4_000),
  after: z.string().max(4_000),
})
export type Sample = Readonly<z.infer<typeof sampleSchema>>

export const runResultSchema = z.strictObject({
  patch: digestSchema,
  patchBytes: count,
  metrics: z.array(metricSchema).max(32),
  samples: z.array(sampleSchema).max(8),
  /** Share of the float32 values' gain that is lost by writing them in the patch's format. */
  roundingLoss: finite.nullable(),
  seconds: z.number().min(0),
})
export type RunResult = Readonly<z.infer<typeof runResultSchema>>

export const runSummarySchema = z.strictObject({
  id: z.uuid(),
  title: z.string().max(80),
  base: z.strictObject({ digest: digestSchema, name: modelName }),
  method: z.enum(trainingMethods),
  createdAtMs: count,
  state: runStateSchema,
  progress: runProgressSchema.nullable(),
})
export type RunSummary = Readonly<z.infer<typeof runSummarySchema>>

export const runDetailSchema = runSummarySchema.extend({
  plan: runPlanSchema,
  /** At most 2,000, thinned evenly when there were more. */
  curve: z.array(curvePointSchema).max(2_000),
  /** Learning rates tried, with the loss each came to. */
  probes: z.array(z.strictObject({ learningRate: finite, heldOutLoss: finite.nullable() })).max(16),
  result: runResultSchema.nullable(),
})
export type RunDetail = Readonly<z.infer<typeof runDetailSchema>>

export const runRequestSchema = z.strictObject({ id: z.uuid() })
/** `finish`: stop training now and make the patch of what there is. `stop`: make none. */
export const runActions = ['pause', 'resume', 'stop', 'finish', 'remove'] as const
export const runActionSchema = runRequestSchema.extend({ action: z.enum(runActions) })
export type RunAction = (typeof runActions)[number]

export type UploadRequest = Readonly<z.infer<typeof uploadRequestSchema>>
export type UploadAnswer = Readonly<z.infer<typeof uploadAnswerSchema>>
export type DataInspectRequest = Readonly<z.infer<typeof dataInspectRequestSchema>>
