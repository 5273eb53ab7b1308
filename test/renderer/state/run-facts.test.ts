import { describe, expect, test } from 'vitest'
import type { CurvePoint, RunState } from '#contracts/api/training.ts'
import { actionsOf, bestProbe, curveRows, isUnfinished } from '#renderer/state/run-facts.ts'

const digest = 'a'.repeat(64)
const states = {
  waiting: { kind: 'waiting', reason: 'on-battery' },
  choosing: { kind: 'running', phase: 'choosing' },
  training: { kind: 'running', phase: 'training' },
  writing: { kind: 'running', phase: 'writing' },
  paused: { kind: 'paused' },
  stopped: { kind: 'stopped' },
  failed: { kind: 'failed', code: 'training-failed', params: {} },
  finished: { kind: 'finished', patch: digest, earlyStopped: false },
} as unknown as Record<string, RunState>

function actions(name: string, step: number) {
  const state = states[name]
  return state === undefined ? null : actionsOf(state, step)
}

describe('a run', () => {
  test('can be finished once steps were taken, and only before the patch is being made', () => {
    expect(actions('training', 0)).toEqual(['pause', 'stop'])
    expect(actions('training', 9)).toEqual(['pause', 'finish', 'stop'])
    expect(actions('writing', 400)).toEqual(['pause', 'stop'])
    expect(actions('waiting', 9)).toEqual(['pause', 'finish', 'stop'])
    expect(actions('paused', 9)).toEqual(['resume', 'finish', 'stop'])
  })

  test('goes on after a stop or a failure, and is removed when it is over', () => {
    expect(actions('stopped', 9)).toEqual(['resume', 'finish', 'remove'])
    expect(actions('failed', 0)).toEqual(['resume', 'remove'])
    expect(actions('finished', 400)).toEqual(['remove'])
  })

  test('is unfinished while it can change by itself or by a click on Resume', () => {
    const unfinished = Object.entries(states).filter(([, state]) => isUnfinished({ state }))
    expect(unfinished.map(([name]) => name)).toEqual(['waiting', 'choosing', 'training', 'writing', 'paused'])
  })
})

describe('a curve as a table', () => {
  const curve = Array.from({ length: 2_000 }, (_, step): CurvePoint => {
    return { step, train: 4, heldOut: step % 3 === 0 ? 4.1 : null, learningRate: null }
  })

  test('has the measured steps and the latest one', () => {
    expect(curveRows(curve.slice(0, 8)).map(({ step }) => step)).toEqual([0, 3, 6, 7])
  })

  test('is thinned evenly, keeping its ends', () => {
    const rows = curveRows(curve)
    expect(rows.length).toBeLessThanOrEqual(101)
    expect(rows[0]?.step).toBe(0)
    expect(rows.at(-1)?.step).toBe(1_999)
  })
})

test('the best learning rate is the one with the lowest loss, and those without a number are none', () => {
  const probes = [
    { learningRate: 1e-3, heldOutLoss: 4.6 },
    { learningRate: 3e-3, heldOutLoss: 4.5 },
    { learningRate: 1e-2, heldOutLoss: null },
  ]
  expect(bestProbe(probes)?.learningRate).toBe(3e-3)
  expect(bestProbe([{ learningRate: 1, heldOutLoss: null }])).toBeNull()
})
