/**
 * A run's state as bytes: whatever it takes to go on with the same result bit for bit. One value holds all of it:
 *
 *     "QBRUN\0\0\1"   SHA-256 of what follows (32 bytes)   DAG-CBOR of the state, arrays as little-endian bytes
 *
 * It names the plan by digest: a checkpoint of another plan is refused.
 */
import { decode, encode } from '@ipld/dag-cbor'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import * as z from 'zod'
import type { RunPlan } from '#contracts/api/training.ts'
import { TrainingFailedError } from '../errors.ts'
import {
  packIndices,
  packItemLosses,
  packValues,
  unpackIndices,
  unpackItemLosses,
  unpackValues,
} from './packed-arrays.ts'
import type { RunState } from './run-state.ts'

const magic = utf8ToBytes('QBRUN\0\0\x01')
const hashBytes = 32

/** Of a plan, whatever order its fields are in. */
export function planDigest(plan: RunPlan): string {
  return bytesToHex(sha256(encode(JSON.parse(JSON.stringify(plan)))))
}

export function encodeCheckpoint(state: RunState, plan: string): Uint8Array {
  const body = encode({
    plan,
    measured: state.measured && {
      validation: state.measured.validation,
      heldOut: packItemLosses(state.measured.heldOut),
      baseText: packItemLosses(state.measured.baseText),
    },
    mask: state.mask?.map(({ tensor, shape, indices }) => ({ tensor, shape, indices: packIndices(indices) })) ?? null,
    probes: state.probes,
    training: state.training && {
      ...state.training,
      values: state.training.values.map(packValues),
      optimizer: {
        steps: state.training.optimizer.steps,
        moments: state.training.optimizer.moments.map(({ first, second }) => ({
          first: packValues(first),
          second: packValues(second),
        })),
      },
      best: state.training.best && { ...state.training.best, values: state.training.best.values.map(packValues) },
    },
  })
  return concatBytes(magic, sha256(body), body)
}

/** Throws `TrainingFailedError` for bytes that are damaged, of another version or of another plan. */
export function decodeCheckpoint(bytes: Uint8Array, plan: string): RunState {
  const body = bytes.subarray(magic.length + hashBytes)
  if (!sameBytes(bytes.subarray(0, magic.length), magic))
    throw new TrainingFailedError('the checkpoint is of another kind')
  if (!sameBytes(bytes.subarray(magic.length, magic.length + hashBytes), sha256(body))) {
    throw new TrainingFailedError('the checkpoint is damaged')
  }
  const parsed = checkpointSchema.safeParse(decode(body))
  if (!parsed.success) {
    throw new TrainingFailedError(`the checkpoint's ${parsed.error.issues[0]?.path.join('.')} does not fit`)
  }
  if (parsed.data.plan !== plan) throw new TrainingFailedError('the checkpoint is of another plan')
  const { plan: _, ...state } = parsed.data
  return state
}

const byteString = z.custom<Uint8Array>((value) => value instanceof Uint8Array)
const floats = byteString.refine(({ length }) => length % 4 === 0).transform(unpackValues)
const indices = byteString.refine(({ length }) => length % 4 === 0).transform(unpackIndices)
const itemLosses = byteString.refine(({ length }) => length % 24 === 0).transform(unpackItemLosses)
const count = z.int().min(0)

const checkpointSchema = z.strictObject({
  plan: z.string(),
  measured: z.strictObject({ validation: z.number().nullable(), heldOut: itemLosses, baseText: itemLosses }).nullable(),
  mask: z.array(z.strictObject({ tensor: z.string(), shape: z.array(count), indices })).nullable(),
  probes: z.array(z.strictObject({ learningRate: z.number(), heldOutLoss: z.number().nullable() })),
  training: z
    .strictObject({
      step: count,
      values: z.array(floats),
      optimizer: z.strictObject({
        steps: count,
        moments: z.array(z.strictObject({ first: floats, second: floats })),
      }),
      best: z.strictObject({ step: count, loss: z.number(), values: z.array(floats) }).nullable(),
      sinceBest: count,
      ended: z.enum(['early', 'whole']).nullable(),
    })
    .nullable(),
})

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
