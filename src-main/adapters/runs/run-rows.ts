/** Runs as rows and back. What a row says was written by this app, perhaps an older one: it is parsed before it is used. */
import * as z from 'zod'
import {
  type CurvePoint,
  curvePointSchema,
  runDetailSchema,
  runPlanSchema,
  runProgressSchema,
  runResultSchema,
  runStateSchema,
} from '#contracts/api/training.ts'
import { StorageError } from '#core/errors.ts'
import type { StoredRun } from '#core/ports/run-store.ts'

export interface RunRow {
  readonly id: string
  readonly plan: string
  readonly state: string
  readonly progress: string
  readonly probes: string
  readonly result: string
  readonly seconds: number
}

export interface PointRow {
  readonly step: number
  readonly train: number | null
  readonly held_out: number | null
  readonly learning_rate: number | null
}

const storedRunSchema = z.strictObject({
  id: z.uuid(),
  plan: runPlanSchema,
  state: runStateSchema,
  progress: runProgressSchema.nullable(),
  probes: runDetailSchema.shape.probes,
  result: runResultSchema.nullable(),
  seconds: z.number().min(0),
})

export function toRow({ id, plan, state, progress, probes, result, seconds }: StoredRun): RunRow {
  return {
    id,
    plan: JSON.stringify(plan),
    state: JSON.stringify(state),
    progress: JSON.stringify(progress),
    probes: JSON.stringify(probes),
    result: JSON.stringify(result),
    seconds,
  }
}

/** Throws `StorageError` for a row that is not a run. */
export function fromRow(row: RunRow): StoredRun {
  try {
    const { id, seconds, ...texts } = row
    const values = Object.entries(texts).map(([name, text]): [string, unknown] => [name, JSON.parse(text)])
    return storedRunSchema.parse({ id, seconds, ...Object.fromEntries(values) })
  } catch (cause) {
    throw new StorageError(`run ${row.id}`, 'what was kept of it cannot be read', { cause })
  }
}

export function toPointRow({ step, train, heldOut, learningRate }: CurvePoint): PointRow {
  return { step, train, held_out: heldOut, learning_rate: learningRate }
}

export function fromPointRow({ step, train, held_out, learning_rate }: PointRow): CurvePoint {
  return curvePointSchema.parse({ step, train, heldOut: held_out, learningRate: learning_rate })
}
