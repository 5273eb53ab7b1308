import { describe, expect, it } from 'vitest'
import { decideRestart } from '#engines/worker/restart-policy.ts'

const policy = { windowMs: 60_000, limit: 4, firstPauseMs: 1_000 }
const decide = (failedAtMs: readonly number[], nowMs: number) => decideRestart(failedAtMs, nowMs, policy)

describe('a worker that failed', () => {
  it('is started again at once after a stumble, and later and later when it goes on failing', () => {
    expect(decide([], 0)).toEqual({ kind: 'start', afterMs: 0 })
    expect(decide([100], 100)).toEqual({ kind: 'start', afterMs: 0 })
    expect(decide([100, 200], 200)).toEqual({ kind: 'start', afterMs: 1_000 })
    expect(decide([100, 200, 300], 300)).toEqual({ kind: 'start', afterMs: 2_000 })
  })

  it('does not wait again for what has passed already', () => {
    expect(decide([100, 200], 700)).toEqual({ kind: 'start', afterMs: 500 })
    expect(decide([100, 200], 5_000)).toEqual({ kind: 'start', afterMs: 0 })
  })

  it('is left alone after too many failures, until the first of them is long ago', () => {
    const failures = [0, 10_000, 20_000, 30_000]
    expect(decide(failures, 30_000)).toEqual({ kind: 'refuse', failures: 4, againInMs: 30_000 })
    expect(decide(failures, 60_000)).toEqual({ kind: 'start', afterMs: 0 })
  })
})
