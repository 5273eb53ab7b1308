import { describe, expect, it } from 'vitest'
import { TrainingFailedError } from '#core/errors.ts'
import { decodeCheckpoint, encodeCheckpoint, planDigest } from '#core/training/checkpoint.ts'
import { nothingDone, type RunState } from '#core/training/run-state.ts'
import { tinyPlan } from './tiny-run.ts'

const state: RunState = {
  measured: {
    validation: 3.25,
    heldOut: [
      { loss: 4.1, weight: 2, right: null },
      { loss: 1, weight: 1, right: true },
      { loss: 1, weight: 1, right: false },
    ],
    baseText: [],
  },
  mask: [{ tensor: 'model.norm.weight', shape: [16], indices: Uint32Array.of(1, 7) }],
  probes: [
    { learningRate: 0.01, heldOutLoss: null },
    { learningRate: 0.02, heldOutLoss: 3 },
  ],
  training: {
    step: 4,
    values: [Float32Array.of(1.5, -0)],
    optimizer: { steps: 4, moments: [{ first: Float32Array.of(1e-40, 2), second: Float32Array.of(3, 4) }] },
    best: { step: 3, loss: 2.5, values: [Float32Array.of(1, 2)] },
    sinceBest: 1,
    ended: 'early',
  },
}
const plan = planDigest(tinyPlan())

describe('a checkpoint', () => {
  it('gives back what was put in, bit for bit, and is the same bytes each time', () => {
    const bytes = encodeCheckpoint(state, plan)
    expect(decodeCheckpoint(bytes, plan)).toEqual(state)
    expect(encodeCheckpoint(decodeCheckpoint(bytes, plan), plan)).toEqual(bytes)
    expect(decodeCheckpoint(encodeCheckpoint(nothingDone, plan), plan)).toEqual(nothingDone)
  })

  it('is refused when any byte of it changed or is missing', () => {
    const bytes = encodeCheckpoint(state, plan)
    for (let at = 0; at < bytes.length; at += 7) {
      const changed = bytes.slice()
      changed[at] = (changed[at] ?? 0) ^ 4
      expect(() => decodeCheckpoint(changed, plan)).toThrow(TrainingFailedError)
    }
    for (const length of [0, 8, 40, bytes.length - 1]) {
      expect(() => decodeCheckpoint(bytes.subarray(0, length), plan)).toThrow(TrainingFailedError)
    }
  })

  it('of another plan is refused; the order of a plan’s fields makes no other plan', () => {
    const other = planDigest(tinyPlan({ hyperParameters: { seed: 9 } }))
    expect(() => decodeCheckpoint(encodeCheckpoint(state, plan), other)).toThrow('another plan')
    const shuffled = Object.fromEntries(Object.entries(tinyPlan()).reverse()) as ReturnType<typeof tinyPlan>
    expect(planDigest(shuffled)).toBe(plan)
  })
})
