/**
 * What was measured on this machine: how fast each backend runs one block of a model's shape, how exactly, and in how much
 * memory. Kept between starts; of no use on another machine or with other runtimes.
 */
import * as z from 'zod'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { type NumericsClass, weightFormats } from '../ports/engine.ts'
import { devices } from './backend-listing.ts'

const name = z.string().min(1).max(64)
const text = z.string().max(512)
const positive = z.number().positive().max(Number.MAX_VALUE)

/** The machine and the runtimes that measurements belong to. */
export const machineSchema = z.strictObject({
  platform: text,
  cpuModel: text.nullable(),
  logicalCores: z.int().positive(),
  memoryBytes: z.int().positive(),
  /** Sorted. */
  gpus: z.array(text).max(32),
  /** Version by runtime: `node`, `onnxruntime-node` … */
  runtimes: z.record(name, text),
})
export type CalibratedMachine = Readonly<z.infer<typeof machineSchema>>

/** What a block's cost depends on. */
export const blockShapeSchema = z.strictObject({
  hiddenSize: z.int().positive(),
  intermediateSize: z.int().positive(),
  headCount: z.int().positive(),
  kvHeadCount: z.int().positive(),
  headSize: z.int().positive(),
})
export type BlockShape = Readonly<z.infer<typeof blockShapeSchema>>

export function blockShapeOf(config: ModelConfig): BlockShape {
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headSize } = config
  return { hiddenSize, intermediateSize, headCount, kvHeadCount, headSize }
}

const numericsClassSchema = z.strictObject({
  backend: name,
  kernelVersion: text,
  weights: z.enum(weightFormats),
  weightGroup: z.int().positive().nullable(),
  activations: z.enum(['float32', 'int8']),
}) satisfies z.ZodType<NumericsClass>

export const failureReasons = ['not-enough-memory', 'failed', 'wrong-results'] as const

const outcomeSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('measured'),
    /** Tokens a second through one block: a model of n blocks takes n times as long a token. */
    decodeTokensPerSecond: positive,
    /** All of eight sessions' tokens together. */
    decodeBatch8TokensPerSecond: positive,
    prefillTokensPerSecond: positive,
    /** One block's. */
    weightBytes: z.int().positive(),
    /** For one block. */
    loadSeconds: z.number().min(0),
    /** √(Σ(y - ŷ)² / Σŷ²) of the worst product against float64 with the weights unrounded. */
    relativeError: z.number().min(0),
    numericsClass: numericsClassSchema,
  }),
  z.strictObject({ kind: z.literal('failed'), reason: z.enum(failureReasons), detail: text }),
])

export const measurementSchema = z.strictObject({
  backend: name,
  device: z.enum(devices),
  format: z.enum(weightFormats),
  outcome: outcomeSchema,
})
export type Measurement = Readonly<z.infer<typeof measurementSchema>>
export type MeasuredOutcome = Extract<Measurement['outcome'], { kind: 'measured' }>

export const calibrationSchema = z.strictObject({
  shape: blockShapeSchema,
  threads: z.int().positive().max(4096),
  measuredAtMs: z.int().min(0),
  measurements: z.array(measurementSchema).max(64),
})
export type Calibration = Readonly<z.infer<typeof calibrationSchema>>

/** The owner's word: this backend, in this format or the best of its formats. */
export const engineOverrideSchema = z.strictObject({ backend: name, format: z.enum(weightFormats).nullable() })
export type EngineOverride = Readonly<z.infer<typeof engineOverrideSchema>>

/** Whether measurements made on `a` hold on `b`. */
export function isSameMachine(a: CalibratedMachine, b: CalibratedMachine): boolean {
  const key = ({ runtimes, ...rest }: CalibratedMachine) =>
    JSON.stringify([
      rest.platform,
      rest.cpuModel,
      rest.logicalCores,
      rest.memoryBytes,
      [...rest.gpus].sort(),
      Object.entries(runtimes).sort(([one], [other]) => (one < other ? -1 : 1)),
    ])
  return key(a) === key(b)
}

/** The calibration of that shape and number of threads; null when there is none. */
export function findCalibration(
  calibrations: readonly Calibration[],
  shape: BlockShape,
  threads: number,
): Calibration | null {
  return calibrations.find((kept) => kept.threads === threads && isSameShape(kept.shape, shape)) ?? null
}

/** With `calibration` in place of an older one of its kind, the latest first, at most `keptCalibrations`. */
export function withCalibration(calibrations: readonly Calibration[], calibration: Calibration): Calibration[] {
  const others = calibrations.filter(
    (kept) => kept.threads !== calibration.threads || !isSameShape(kept.shape, calibration.shape),
  )
  return [calibration, ...others].slice(0, keptCalibrations)
}

/** Models and numbers of threads in use on one machine are few. */
export const keptCalibrations = 16

function isSameShape(a: BlockShape, b: BlockShape): boolean {
  return (Object.keys(a) as (keyof BlockShape)[]).every((key) => a[key] === b[key])
}
