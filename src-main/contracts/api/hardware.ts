/**
 * What the machine has (profile), what the owner allows (policy), and what may be used now (budget). Null always means
 * "not detected": nothing here is ever 0 or NaN for lack of knowledge.
 */
import * as z from 'zod'
import { digestSchema } from '../digest.ts'

const bytes = z.number().int().min(0)
const text = z.string().max(256)

export const gpuSchema = z.strictObject({
  vendor: text.nullable(),
  model: text.nullable(),
  memoryBytes: bytes.positive().nullable(),
  driver: text.nullable(),
  /** Which probe saw it, so that a wrong reading can be traced: `systeminformation`, `nvidia-smi`, `sysfs` ... */
  source: text,
})
export type Gpu = Readonly<z.infer<typeof gpuSchema>>

export const hardwareProfileSchema = z.strictObject({
  measuredAtMs: z.int().min(0),
  platform: text,
  cpu: z.strictObject({
    model: text.nullable(),
    physicalCores: z.int().positive().nullable(),
    logicalCores: z.int().positive(),
    /** Names as the operating system gives them, lower case: `avx2`, `avx512f`, `neon`. Null: not known here. */
    simd: z.array(z.string().max(32)).max(64).nullable(),
  }),
  memory: z.strictObject({ totalBytes: bytes.positive(), availableBytes: bytes }),
  gpus: z.array(gpuSchema).max(32),
  /** The volume that holds the data folder. */
  disk: z.strictObject({ totalBytes: bytes.positive().nullable(), freeBytes: bytes.nullable() }),
  /** Null when the machine has no battery, or none was detected. */
  battery: z
    .strictObject({
      charging: z.boolean().nullable(),
      onBattery: z.boolean(),
      percent: z.number().min(0).max(100).nullable(),
    })
    .nullable(),
})
export type HardwareProfile = Readonly<z.infer<typeof hardwareProfileSchema>>

export const policySchema = z.strictObject({
  /** Most of the machine's memory that may be used, 0 to 1. */
  memoryShare: z.number().min(0).max(1),
  /** Absolute cap on top of the share; null for none. */
  memoryCapBytes: bytes.nullable(),
  /** Share of the logical cores, 0 to 1; at least one thread when anything is given. */
  threadShare: z.number().min(0).max(1),
  onBattery: z.enum(['pause', 'continue']),
  /** Free disk to leave untouched. */
  diskReserveBytes: bytes,
  /** Sessions to hold KV caches for at once. */
  maxSessions: z.int().min(1).max(256),
})
export type Policy = Readonly<z.infer<typeof policySchema>>

/** Why nothing is given; exactly one. */
export const noBudgetReasons = [
  'paused-by-owner',
  'on-battery',
  'no-model',
  'not-enough-memory',
  'not-enough-disk',
  'policy-gives-nothing',
] as const
export type NoBudgetReason = (typeof noBudgetReasons)[number]

export const budgetSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('give'),
    modelDigest: digestSchema,
    /** How many of the model's blocks fit, with their KV caches for `sessions` sessions of `maxLength`. */
    blocks: z.int().min(1),
    threads: z.int().min(1),
    sessions: z.int().min(1),
    maxLength: z.int().min(1),
    weightBytes: bytes,
    cacheBytes: bytes,
    memoryLimitBytes: bytes,
  }),
  z.strictObject({
    kind: z.literal('nothing'),
    reason: z.enum(noBudgetReasons),
    /** For `not-enough-memory`: what one block and one session would need. */
    neededBytes: bytes.nullable(),
    memoryLimitBytes: bytes,
  }),
])
export type Budget = Readonly<z.infer<typeof budgetSchema>>
