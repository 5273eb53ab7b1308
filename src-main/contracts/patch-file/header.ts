/**
 * Where a patch comes from and what it claims: on which base model, from which data, how trained, with what effect, by whom.
 * Everything here is written by the author and signed; of what it claims only the digests can be checked without work.
 */
import * as z from 'zod'
import { digestSchema } from '../digest.ts'
import { scaleTargets } from './patch.ts'

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER)
const finite = z.number()
const text = (maximum: number) => z.string().max(maximum)

/** What is trained, and how it is chosen. `merge` and `import` are not trained here. */
export const trainingMethods = ['fish', 'random', 'magnitude', 'ia3', 'full'] as const
export type TrainingMethod = (typeof trainingMethods)[number]

/** How chosen numbers are spread: the best of all together, or the same share of every tensor. */
export const maskQuotas = ['joint', 'per-tensor'] as const
/** `all`: norms and the embedding too (and with it a tied head); `blocks`: the matrices of the blocks alone. */
export const maskScopes = ['all', 'blocks'] as const
/** An untied head: chosen like any tensor, trained whole beside the mask, or left alone. */
export const headPolicies = ['in-budget', 'free', 'excluded'] as const

export const maskChoiceSchema = z.strictObject({
  /** Trained numbers over all of the model's. */
  keepRatio: z.number().gt(0).max(1),
  quota: z.enum(maskQuotas),
  scope: z.enum(maskScopes),
  head: z.enum(headPolicies),
  /** FISH only: which Fisher information, of how many examples. */
  fisher: z
    .strictObject({
      kind: z.enum(['empirical', 'true']),
      examples: count,
      /**
       * Steps of training everything before the choice, which are thrown away: the choice is then by F Δ², what taking a
       * change back would cost. 0: by F alone.
       */
      trialSteps: count,
    })
    .nullable(),
})
/** What a FISH mask is chosen by when nobody says otherwise: the best of those tried (docs/experiments/patches.md). */
export const usualFisher = { kind: 'empirical', examples: 256, trialSteps: 60 } as const
export type MaskChoice = Readonly<z.infer<typeof maskChoiceSchema>>

export const hyperParametersSchema = z.strictObject({
  steps: count,
  /** Examples a step. */
  batchSize: z.int().min(1).max(65_536),
  /** Tokens of an example at most. */
  sequenceLength: z
    .int()
    .min(2)
    .max(1 << 20),
  learningRate: z.number().gt(0).max(1e3),
  schedule: z.enum(['linear', 'cosine', 'constant']),
  /** Share of the steps in which the rate rises. */
  warmup: z.number().min(0).max(1),
  beta1: z.number().min(0).lt(1),
  beta2: z.number().min(0).lt(1),
  epsilon: z.number().gt(0).max(1),
  weightDecay: z.number().min(0).max(1),
  /** The gradient is shortened to this L2 norm; null: not. */
  maximumNorm: z.number().gt(0).nullable(),
  /** Share of each batch that is the base's own kind of text, so that it is not forgotten. */
  protectedShare: z.number().min(0).lt(1),
  seed: z.int().min(0).max(0xffffffff),
})
export type HyperParameters = Readonly<z.infer<typeof hyperParametersSchema>>

export const trainingRecordSchema = z.strictObject({
  method: z.enum(trainingMethods),
  /** `language-model`: likelihood of the text; `multiple-choice`: T-Few's three losses. */
  objective: z.enum(['language-model', 'multiple-choice']),
  mask: maskChoiceSchema.nullable(),
  hyperParameters: hyperParametersSchema,
  /** Trained numbers. */
  trainedParameters: count,
  /** Step whose values these are: the best one, when training was stopped early. */
  bestStep: count,
  /** What computed it: backend and version of its numerics. */
  engine: text(128),
})
export type TrainingRecord = Readonly<z.infer<typeof trainingRecordSchema>>

/** What can be told of data that stays on its owner's machine. */
export const dataCardSchema = z.strictObject({
  /** SHA-256 over the digests of the documents, sorted: which data, without the data. */
  digest: digestSchema,
  formats: z
    .array(z.enum(['text', 'markdown', 'jsonl', 'csv']))
    .min(1)
    .max(4),
  /** After duplicates were dropped. */
  documents: count,
  duplicatesDropped: count,
  trainingExamples: count,
  heldOutExamples: count,
  trainingTokens: count,
  heldOutTokens: count,
  /** The author's words: what the text is, where it comes from. */
  description: text(2_000),
  licence: text(64),
  warnings: z.array(text(64)).max(16),
})
export type DataCard = Readonly<z.infer<typeof dataCardSchema>>

/** A measure before and after, on the same items; `gain` is the improvement, with the 95 % interval of a paired bootstrap. */
export const metricSchema = z.strictObject({
  /** `held-out-loss`, `base-text-loss`, `held-out-accuracy`. */
  name: text(64),
  unit: text(32),
  before: finite,
  after: finite,
  gain: z.strictObject({ mean: finite, low: finite, high: finite }),
  items: count,
})
export type Metric = Readonly<z.infer<typeof metricSchema>>

export const valueFormats = ['float32', 'float16', 'bfloat16', 'int8'] as const
export type ValueFormat = (typeof valueFormats)[number]

export const authorSchema = z.strictObject({
  /** The peer id of the author's node; it contains the Ed25519 key that signs. */
  peerId: z.string().min(1).max(128),
  name: text(64),
})

/** What the author writes. Everything else in the header follows from the content. */
export const patchDescriptionSchema = z.strictObject({
  title: z.string().min(1).max(80),
  description: text(2_000),
  /** An SPDX identifier, of the patch itself. */
  licence: z.string().min(1).max(64),
  author: authorSchema,
  createdAtMs: count,
  base: z.strictObject({ digest: digestSchema, name: z.string().min(1).max(64) }),
  /** Patches it stands on (`train`: trained on top of them; `merge`: made of them), in order. */
  parents: z.array(digestSchema).max(64),
  origin: z.enum(['train', 'merge', 'import']),
  training: trainingRecordSchema.nullable(),
  data: dataCardSchema.nullable(),
  metrics: z.array(metricSchema).max(32),
})
export type PatchDescription = Readonly<z.infer<typeof patchDescriptionSchema>>

const extent = z
  .int()
  .min(1)
  .max(2 ** 32)

const sectionPlace = {
  /** Bytes of the section; sections follow one another. */
  bytes: z
    .int()
    .min(0)
    .max(2 ** 40),
  sha256: digestSchema,
}

export const sectionSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('delta'),
    tensor: z.string().min(1).max(256),
    shape: z.array(extent).min(1).max(4),
    /** Changed entries. */
    entries: extent,
    /** 0 with a shared mask: the section has none of its own. */
    indexBytes: z
      .int()
      .min(0)
      .max(2 ** 40),
    valueBytes: z
      .int()
      .min(1)
      .max(2 ** 40),
    /** 0 when no Fisher is told. */
    fisherBytes: z
      .int()
      .min(0)
      .max(2 ** 40),
    ...sectionPlace,
  }),
  z.strictObject({
    kind: z.literal('scale'),
    block: z
      .int()
      .min(0)
      .max(1 << 20),
    target: z.enum(scaleTargets),
    entries: extent,
    ...sectionPlace,
  }),
  z.strictObject({
    kind: z.literal('factors'),
    tensor: z.string().min(1).max(256),
    shape: z.tuple([extent, extent]),
    rank: z.int().min(1).max(65_536),
    ...sectionPlace,
  }),
])
export type PatchSection = Readonly<z.infer<typeof sectionSchema>>

export const patchHeaderSchema = patchDescriptionSchema.extend({
  formatVersion: z.literal(1),
  valueFormat: z.enum(valueFormats),
  /** Names the mask of all deltas together, however it is written; null without deltas. */
  maskDigest: digestSchema.nullable(),
  /** True: sections have values only, and the indices are those of another patch with the same `maskDigest`. */
  sharedMask: z.boolean(),
  sections: z.array(sectionSchema).max(20_000),
})
export type PatchHeader = Readonly<z.infer<typeof patchHeaderSchema>>
