import { setTimeout as sleep } from 'node:timers/promises'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createActivity, noteForwards } from '#app/runs/activity.ts'
import { createRunConditions, type RunConditionsComponents } from '#app/runs/conditions.ts'
import { createGate, giveUpAfterMs } from '#app/runs/gate.ts'
import { createSuspension } from '#app/runs/suspension.ts'
import { thinCurve } from '#app/runs/thin-curve.ts'
import { transitionFor } from '#app/runs/transitions.ts'
import type { Budget } from '#contracts/api/hardware.ts'
import { type RunAction, type RunState, runActions } from '#contracts/api/training.ts'
import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { createFakeClock } from '#test/fakes/clock.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { someDigest } from '#test/helpers/run-plans.ts'

describe('what may be asked of a run', () => {
  const states: RunState[] = [
    { kind: 'waiting', reason: 'another-run' },
    { kind: 'running', phase: 'training' },
    { kind: 'paused' },
    { kind: 'stopped' },
    { kind: 'failed', code: 'internal', params: {} },
    { kind: 'finished', patch: someDigest, earlyStopped: false },
  ]
  const comesTo = (state: RunState, action: RunAction, step: number) => {
    try {
      return transitionFor({ id: 'run', state, step }, action)
    } catch (error) {
      return (error as { code: string }).code
    }
  }

  test.each([
    ['pause', ['pause', 'pause', 'nothing', 'run-state', 'run-state', 'run-state']],
    ['resume', ['nothing', 'nothing', 'queue', 'queue', 'queue', 'run-state']],
    ['stop', ['stop', 'stop', 'stop', 'nothing', 'stop', 'run-state']],
    ['finish', [...Array(5).fill('queue-to-finish'), 'run-state']],
    ['remove', Array(6).fill('remove')],
  ] as [RunAction, string[]][])('%s', (action, expected) => {
    expect(states.map((state) => comesTo(state, action, 5))).toEqual(expected)
    expect(runActions).toContain(action)
  })

  test('a run that has not trained yet has nothing to make a patch of', () => {
    expect(states.map((state) => comesTo(state, 'finish', 0))).toEqual(Array(6).fill('run-state'))
  })
})

describe('a curve that is too long', () => {
  const curve = (length: number, every: number) =>
    Array.from({ length }, (_, step) => {
      return { step, train: 1, heldOut: step % every === 0 ? 2 : null, learningRate: 1 }
    })

  test('keeps its measurements of held-out loss, its ends and its order', () => {
    const thinned = thinCurve(curve(10_001, 500), 100)
    expect(thinned).toHaveLength(100)
    expect(thinned.filter(({ heldOut }) => heldOut !== null)).toHaveLength(21)
    expect(thinned.at(0)?.step).toBe(0)
    expect(thinned.at(-1)?.step).toBe(10_000)
    const gaps = thinned.slice(1).map(({ step }, i) => step - (thinned[i]?.step ?? 0))
    expect(Math.min(...gaps)).toBeGreaterThan(0)
    expect(Math.max(...gaps)).toBeLessThan(200)
  })

  test('is never longer than it may be, and whole when it is short enough', () => {
    fc.assert(
      fc.property(
        fc.nat(3_000),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 4, max: 2_000 }),
        (length, every, most) => {
          const whole = curve(length, every)
          const thinned = thinCurve(whole, most)
          expect(thinned.length).toBe(Math.min(length, most))
          if (length <= most) expect(thinned).toEqual(whole)
        },
      ),
      { numRuns: 50 },
    )
  })
})

describe('activity', () => {
  test('lasts as long as the work and a moment longer', async () => {
    const clock = createFakeClock()
    const activity = createActivity({ clock })
    expect(activity.active()).toBe(false)
    const work = Promise.withResolvers<void>()
    const during = activity.during(() => work.promise)
    clock.advance(10_000)
    expect(activity.active()).toBe(true)
    work.resolve()
    await during
    clock.advance(299)
    expect(activity.active()).toBe(true)
    clock.advance(2)
    expect(activity.active()).toBe(false)
  })

  test('is told when it begins and when it is over, once each however much happens in between', async () => {
    const clock = { now: Date.now, monotonicMs: () => performance.now() }
    const activity = createActivity({ clock }, { quietMs: 60 })
    const told: boolean[] = []
    const stop = activity.onChange((active) => told.push(active))
    activity.announce()
    expect([told, activity.active()]).toEqual([[true], true])
    for (let token = 0; token < 20; token++) await activity.during(() => sleep(5))
    expect(told).toEqual([true])
    await expect.poll(() => told).toEqual([true, false])
    expect(activity.active()).toBe(false)
    await activity.during(async () => {})
    expect(told).toEqual([true, false, true])
    stop()
    await sleep(150)
    expect(told).toHaveLength(3)
  })

  test('is announced by a session that is opened', async () => {
    const activity = createActivity({ clock: createFakeClock() })
    const plain = await createReferenceEngine().loadSpan(
      randomModel(tinyConfig(), 1),
      { start: 0, end: 3 },
      { threads: 1 },
    )
    noteForwards(plain, activity).openSession({ maxLength: 8 })
    expect(activity.active()).toBe(true)
  })

  test('is whatever blocks compute, which comes out as without it', async () => {
    const clock = createFakeClock()
    const activity = createActivity({ clock })
    const config = tinyConfig()
    const plain = await createReferenceEngine().loadSpan(randomModel(config, 1), { start: 0, end: 3 }, { threads: 1 })
    const noted = noteForwards(plain, activity)
    const hidden = Float32Array.from({ length: 2 * config.hiddenSize }, (_, i) => Math.sin(i))
    const expected = await plain.openSession({ maxLength: 8 }).forward(hidden)
    const session = noted.openSession({ maxLength: 8 })
    const uses: (() => Promise<unknown>)[] = [
      async () => expect(await session.forward(hidden)).toEqual(expected),
      async () =>
        expect((await noted.forward([{ session: noted.openSession({ maxLength: 8 }), hidden }]))[0]).toEqual(expected),
      async () => expect(await session.fork(0).forward(hidden)).toEqual(expected),
      async () => noted.backward({ hidden, outputGradient: hidden, after: session }),
    ]
    for (const use of uses) {
      clock.advance(1_000)
      expect(activity.active()).toBe(false)
      await use()
      expect(activity.active()).toBe(true)
    }
    expect([session.length, session.maxLength, session.span]).toEqual([2, 8, { start: 0, end: 3 }])
    await noted.dispose()
  })
})

describe('a suspension', () => {
  test('holds the worker still while others are served, and its clock with it', () => {
    const clock = createFakeClock()
    const serving = createFakeServing()
    const done: string[] = []
    const suspender = { suspend: () => done.push('suspend'), resume: () => done.push('resume') }
    const suspension = createSuspension({ clock, serving, suspender })
    suspension.onChange((isSuspended) => done.push(`${isSuspended}`))
    clock.advance(100)
    serving.become(true)
    clock.advance(5_000)
    serving.become(true)
    expect(suspension.clock.monotonicMs()).toBe(100)
    serving.become(false)
    clock.advance(10)
    expect(suspension.clock.monotonicMs()).toBe(110)
    expect(done).toEqual(['suspend', 'true', 'resume', 'false'])
    serving.become(true)
    suspension[Symbol.dispose]()
    serving.become(true)
    expect(done.slice(4)).toEqual(['suspend', 'true', 'resume', 'false'])
  })

  function createFakeServing() {
    const listeners = new Set<(active: boolean) => void>()
    return {
      onChange(listener: (active: boolean) => void) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
      become(active: boolean) {
        for (const listener of listeners) listener(active)
      },
    }
  }
})

describe('conditions', () => {
  const nothing = (reason: 'paused-by-owner' | 'on-battery' | 'not-enough-memory'): Budget => {
    return { kind: 'nothing', reason, neededBytes: null, memoryLimitBytes: 0 }
  }
  const conditions = async (changes: Partial<RunConditionsComponents>) => {
    const made = createRunConditions({
      ...{ budget: () => null, roomBytes: async () => 1_000, servingActive: () => false, ownerActive: () => false },
      ...changes,
    })
    await made.refresh()
    return made
  }
  const needs = { memoryBytes: 1_000, loaded: false }

  test.each([
    ['nothing is in the way', {}, null],
    ['the owner paused this machine', { budget: () => nothing('paused-by-owner') }, 'paused-by-owner'],
    ['it runs on battery', { budget: () => nothing('on-battery') }, 'on-battery'],
    ['no block fits, but the run does', { budget: () => nothing('not-enough-memory') }, null],
    ['memory is short', { roomBytes: async () => 999 }, 'memory'],
    ['blocks are served', { servingActive: () => true }, 'serving'],
    ['the owner waits for a text', { ownerActive: () => true }, 'owner-active'],
    ['nobody can say what room there is', { roomBytes: async () => Promise.reject(new Error('no probe')) }, null],
  ] as [string, Partial<RunConditionsComponents>, string | null][])('%s', async (_, changes, expected) => {
    expect((await conditions(changes)).reason(needs)).toBe(expected)
  })

  test('a run in memory does not give way to a passing want of it', async () => {
    const tight = await conditions({ roomBytes: async () => 900 })
    expect([tight.reason(needs), tight.reason({ ...needs, loaded: true })]).toEqual(['memory', null])
    const tighter = await conditions({ roomBytes: async () => 700 })
    expect(tighter.reason({ ...needs, loaded: true })).toBe('memory')
  })
})

describe('the gate', () => {
  const signal = new AbortController().signal

  test('says nothing of short waits for others', async () => {
    const held: unknown[] = []
    let looks = 0
    const conditions = { reason: () => (looks++ < 2 ? ('serving' as const) : null), refresh: async () => {} }
    const gate = createGate(
      { conditions, clock: systemClock },
      { memoryBytes: 1, onHeld: (reason) => held.push(reason), onGiveUp: () => {} },
    )
    await gate.wait({ loaded: true, signal })
    expect(held).toEqual([])
    expect(looks).toBe(3)
  })

  test('says of a piece held still what it says of waiting, when it takes longer than a moment', async () => {
    const held: unknown[] = []
    const conditions = { reason: () => null, refresh: async () => {} }
    const gate = createGate(
      { conditions, clock: systemClock },
      { memoryBytes: 1, onHeld: (reason) => held.push(reason), onGiveUp: () => {} },
    )
    gate.suspended(true)
    await sleep(50)
    gate.suspended(false)
    expect(held).toEqual([])
    gate.suspended(true)
    await expect.poll(() => held).toEqual(['serving'])
    gate.suspended(false)
    expect(held).toEqual(['serving', null])
    gate.suspended(true)
    gate.close()
    await sleep(600)
    expect(held).toHaveLength(2)
  })

  test('gives a loaded run up when it is paused for long, and never while others are served', async () => {
    for (const [reason, expected] of [
      ['paused-by-owner', true],
      ['serving', false],
    ] as const) {
      const clock = createFakeClock()
      const ending = new AbortController()
      let gaveUp = false
      const gate = createGate(
        { conditions: { reason: () => reason, refresh: async () => {} }, clock },
        {
          memoryBytes: 1,
          onHeld: () => {},
          onGiveUp: () => {
            gaveUp = true
          },
        },
      )
      const waiting = gate.wait({ loaded: true, signal: ending.signal }).catch(() => 'ended')
      await sleep(10)
      clock.advance(giveUpAfterMs)
      await sleep(80)
      ending.abort()
      expect(await waiting).toBe('ended')
      expect(gaveUp).toBe(expected)
    }
  })
})
