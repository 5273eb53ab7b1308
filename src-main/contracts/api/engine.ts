/**
 * What this machine can compute with: every backend of this build, what was measured of it for the hosted model, what is
 * used and what the owner wants used. Speeds are of the whole model's blocks on this machine.
 */
import * as z from 'zod'
import { errorCodes } from '../errors.ts'
import { engineInUseSchema } from './node.ts'

const count = z.int().min(0)
const rate = z.number().positive().max(Number.MAX_VALUE)
const text = z.string().max(512)
const backendName = z.string().min(1).max(64)
const format = engineInUseSchema.shape.format
const params = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.number())]))

/** The owner's word: this backend, in this format or, when null, in the best of its formats. */
export const engineWishSchema = z.strictObject({ backend: backendName, format: format.nullable() })
export type EngineWish = Readonly<z.infer<typeof engineWishSchema>>

export const engineMeasurementSchema = z.strictObject({
  format,
  outcome: z.discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('measured'),
      decodeTokensPerSecond: rate,
      /** Of eight texts at once, all together. */
      decodeBatch8TokensPerSecond: rate,
      prefillTokensPerSecond: rate,
      /** All blocks' weights. */
      weightBytes: count,
      /** False: its results are further off than this format's rounding explains, so it is never picked by itself. */
      exactEnough: z.boolean(),
    }),
    z.strictObject({
      kind: z.literal('failed'),
      reason: z.enum(['not-enough-memory', 'failed', 'wrong-results']),
      detail: text,
    }),
  ]),
})
export type EngineMeasurement = Readonly<z.infer<typeof engineMeasurementSchema>>

export const engineAvailabilitySchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('available') }),
  z.strictObject({
    kind: z.literal('unavailable'),
    reason: z.enum(['wrong-platform', 'not-installed', 'driver-missing', 'probe-failed']),
    params,
  }),
  /** Not tried since the node started. */
  z.strictObject({ kind: z.literal('untried') }),
])
export type EngineAvailability = Readonly<z.infer<typeof engineAvailabilitySchema>>

export const engineBackendSchema = z.strictObject({
  backend: backendName,
  device: z.enum(['cpu', 'gpu']),
  formats: z.array(format).max(8),
  availability: engineAvailabilitySchema,
  measurements: z.array(engineMeasurementSchema).max(64),
})
export type EngineBackend = Readonly<z.infer<typeof engineBackendSchema>>

export const engineOverviewSchema = z.strictObject({
  /** Null before it is decided. */
  inUse: engineInUseSchema.nullable(),
  override: engineWishSchema.nullable(),
  model: z.string(),
  blockCount: z.int().positive(),
  /** What measurements are made with, and hold for. */
  threads: z.int().positive(),
  /** Null: nothing was measured for this shape of model and number of threads. */
  measuredAtMs: count.nullable(),
  backends: z.array(engineBackendSchema).max(64),
})
export type EngineOverview = Readonly<z.infer<typeof engineOverviewSchema>>

/** `look`: try backends that were not tried since the start, each in a process of its own, which takes seconds. */
export const engineOverviewRequestSchema = z.strictObject({ look: z.boolean().default(false) })

export const engineMeasureEventSchema = z.discriminatedUnion('type', [
  /** Finding out which backends work. */
  z.strictObject({ type: z.literal('looking') }),
  /** What is being measured, and how many are done. */
  z.strictObject({ type: z.literal('progress'), backend: backendName, format, done: count, total: count }),
  z.strictObject({ type: z.literal('done'), overview: engineOverviewSchema }),
  z.strictObject({ type: z.literal('error'), code: z.enum(errorCodes), params }),
])
export type EngineMeasureEvent = Readonly<z.infer<typeof engineMeasureEventSchema>>
