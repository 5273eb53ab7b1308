import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { systemClock } from '#adapters/files/system-clock.ts'
import type { CarriedOut, CarryOut, CarryOutOptions } from '#app/runs/carry-out-types.ts'
import type { RunConditions, WaitReason } from '#app/runs/conditions.ts'
import { createRuns, type Runs } from '#app/runs/runs.ts'
import type { RunState } from '#contracts/api/training.ts'
import { EngineFailedError, TrainingFailedError } from '#core/errors.ts'
import { createInMemoryRunStore, createKeptRuns, type KeptRuns } from '#test/fakes/in-memory-run-store.ts'
import { aPlan, aStoredRun, someDigest } from '#test/helpers/run-plans.ts'

let kept: KeptRuns & Disposable
let started: Runs[]
/** Told apart from what the runs are told to do: ids in the order they were taken up, and from which step. */
let log: string[]
beforeEach(() => {
  kept = createKeptRuns()
  started = []
  log = []
})
afterEach(async () => {
  for (const runs of started) await runs.stop()
  kept[Symbol.dispose]()
})

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const ids = ['a', 'b', 'c', 'd'].map((letter) => `${letter.repeat(8)}-0000-4000-8000-000000000000`)
const id = (place: number) => ids[place] as string
const free: RunConditions = { reason: () => null, refresh: async () => {} }

/** A process that carries runs out. */
function open(carryOut: CarryOut, conditions: RunConditions = free): Runs {
  const runs = createRuns({
    ...{ store: createInMemoryRunStore(kept), conditions, clock: systemClock, logger: quiet },
    carryOut: async (run, options) => {
      log.push(`${run.id.slice(0, 1)} from ${options.resume?.[0] ?? 'nothing'}`)
      return await carryOut(run, options)
    },
  })
  started.push(runs)
  return runs
}

const result: CarriedOut = {
  result: { patch: someDigest, patchBytes: 100, metrics: [], samples: [], roundingLoss: null },
  earlyStopped: false,
}

const progressAt = (step: number) => ({
  ...{ phase: 'training' as const, done: step, total: 10, step, steps: 10 },
  ...{ tokensPerSecond: null, remainingSeconds: null },
})

/** Ten steps, a checkpoint after every second one; `between` happens after each step. */
function training(between: (step: number, options: CarryOutOptions) => Promise<void> = async () => {}): CarryOut {
  return async (_, options) => {
    await options.onEvent({ type: 'phase', phase: 'training' })
    for (let step = (options.resume?.[0] ?? 0) + 1; step <= 10 && !options.finish.aborted; step++) {
      await options.gate(options.signal)
      options.signal.throwIfAborted()
      await options.onEvent({ type: 'points', points: [{ step, train: step, heldOut: null, learningRate: 1 }] })
      await options.onEvent({ type: 'progress', progress: progressAt(step) })
      if (step % 2 === 0) await options.onEvent({ type: 'checkpoint', step, bytes: new Uint8Array([step]) })
      await between(step, options)
    }
    return result
  }
}

/** Trains up to `step` and stays there until it is told to end. */
const trainingUpTo = (step: number) =>
  training(async (reached, { signal, finish }) => {
    const told = AbortSignal.any([signal, finish])
    if (reached === step) await new Promise<void>((done) => told.addEventListener('abort', () => done()))
  })

async function until(runs: Runs, place: number, kind: RunState['kind'], step = 0): Promise<RunState> {
  return await vi.waitFor(async () => {
    const { state, progress } = await runs.show(id(place))
    expect(state.kind).toBe(kind)
    expect(progress?.step ?? 0).toBeGreaterThanOrEqual(step)
    return state
  })
}

describe('runs', () => {
  test('are carried out one after the other, and leave a patch', async () => {
    const runs = open(training())
    await runs.start()
    const first = await runs.add(id(0), aPlan())
    const second = await runs.add(id(1), aPlan())
    expect(first).toMatchObject({ title: 'A whale', method: 'fish', state: { kind: 'running', phase: 'preparing' } })
    expect(second.state).toEqual({ kind: 'waiting', reason: 'another-run' })
    expect(await until(runs, 1, 'finished')).toEqual({ kind: 'finished', patch: someDigest, earlyStopped: false })
    expect(log).toEqual(['a from nothing', 'b from nothing'])
    const detail = await runs.show(id(0))
    expect(detail.curve.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(detail.result).toMatchObject({ patch: someDigest, seconds: expect.any(Number) })
    expect(detail.progress).toMatchObject({ step: 10, resumedFromStep: null })
    expect(kept.checkpoints.size).toBe(0)
  })

  test('go on from the last checkpoint after the program was killed, and say from which step', async () => {
    const killed = open(trainingUpTo(5))
    await killed.add(id(0), aPlan())
    await killed.add(id(1), aPlan())
    await until(killed, 0, 'running', 5)
    // What the other process has in memory is lost; what it has written is here.
    const runs = open(training())
    await runs.start()
    expect(await until(runs, 1, 'finished')).toBeDefined()
    expect(log).toEqual(['a from nothing', 'a from 4', 'b from nothing'])
    const detail = await runs.show(id(0))
    expect(detail.progress?.resumedFromStep).toBe(4)
    expect(detail.curve.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect((await runs.show(id(1))).progress?.resumedFromStep).toBe(0)
  })

  test('that were added before the node had started are carried out once', async () => {
    const runs = open(training())
    await Promise.all([runs.add(id(0), aPlan()), runs.start(), runs.add(id(1), aPlan())])
    await until(runs, 1, 'finished')
    expect(log).toEqual(['a from nothing', 'b from nothing'])
  })

  test('leave the newest checkpoint alone when it is damaged, and use the one before', async () => {
    await open(trainingUpTo(7)).add(id(0), aPlan())
    await vi.waitFor(() => expect(kept.checkpoints.get(id(0))?.at(-1)?.step).toBe(6))
    Object.assign(kept.checkpoints.get(id(0))?.at(-1) ?? {}, { bytes: null })
    const runs = open(training())
    await runs.start()
    await until(runs, 0, 'finished')
    expect(log.at(-1)).toBe('a from 4')
  })

  test('go on where they were when the node is stopped and started', async () => {
    const first = open(trainingUpTo(5))
    await first.start()
    await first.add(id(0), aPlan())
    await until(first, 0, 'running', 5)
    await first.stop()
    expect(kept.runs.get(id(0))).toMatchObject({ state: { kind: 'running', phase: 'training' }, progress: { step: 5 } })
    const runs = open(training())
    await runs.start()
    await until(runs, 0, 'finished')
    expect(log).toEqual(['a from nothing', 'a from 4'])
  })

  test('hear of a pause within a second, stay paused across restarts, and go on when resumed', async () => {
    const runs = open(trainingUpTo(3))
    await runs.start()
    await runs.add(id(0), aPlan())
    await until(runs, 0, 'running', 3)
    const askedAtMs = performance.now()
    expect((await runs.act(id(0), 'pause'))?.state).toEqual({ kind: 'paused' })
    expect(performance.now() - askedAtMs).toBeLessThan(1_000)
    expect((await runs.act(id(0), 'pause'))?.state).toEqual({ kind: 'paused' })
    const next = open(training())
    await next.start()
    expect((await next.show(id(0))).state).toEqual({ kind: 'paused' })
    await next.act(id(0), 'resume')
    await until(next, 0, 'finished')
    expect(log).toEqual(['a from nothing', 'a from 2'])
    expect((await next.show(id(0))).progress?.resumedFromStep).toBeNull()
  })

  test('that wait in the queue are paused there, and lose their place', async () => {
    const runs = open(trainingUpTo(1))
    for (const place of [0, 1, 2]) await runs.add(id(place), aPlan())
    await until(runs, 0, 'running', 1)
    await runs.act(id(1), 'pause')
    await runs.act(id(0), 'stop')
    await until(runs, 2, 'running', 1)
    expect(log).toEqual(['a from nothing', 'c from nothing'])
    expect((await runs.list()).map(({ state }) => state.kind)).toEqual(['running', 'paused', 'stopped'])
  })

  test('finish with what there is when told to, running or paused, once there is something', async () => {
    const runs = open(trainingUpTo(3))
    await runs.add(id(0), aPlan())
    await until(runs, 0, 'running', 3)
    await runs.act(id(0), 'finish')
    await until(runs, 0, 'finished')

    await runs.add(id(1), aPlan())
    await until(runs, 1, 'running', 3)
    await runs.act(id(1), 'pause')
    await runs.act(id(1), 'finish')
    await until(runs, 1, 'finished')
    expect(log.at(-1)).toBe('b from 2')
    await expect(runs.act(id(1), 'finish')).rejects.toMatchObject({ code: 'run-state' })
  })

  test('have nothing to finish before the first step', async () => {
    const runs = open(async (_, { signal }) => {
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      return result
    })
    await runs.add(id(0), aPlan())
    await expect(runs.act(id(0), 'finish')).rejects.toMatchObject({ code: 'run-state' })
  })

  test('are removed with all they have, also while they run', async () => {
    const runs = open(trainingUpTo(3))
    await runs.add(id(0), aPlan())
    await until(runs, 0, 'running', 3)
    const seen = (async () => {
      let last: RunState | null = null
      for await (const { state } of runs.watch(id(0))) last = state
      return last
    })()
    expect(await runs.act(id(0), 'remove')).toBeNull()
    expect(await seen).not.toBeNull()
    expect(await runs.list()).toEqual([])
    expect(kept.checkpoints.size).toBe(0)
    await expect(runs.act(id(0), 'resume')).rejects.toMatchObject({ code: 'run-not-found' })
  })

  test('fail with a name, keep what they have, and can be resumed by hand', async () => {
    let fail = true
    const runs = open(
      training(async (step) => {
        if (step === 5 && fail) throw new TrainingFailedError('the loss is no number')
      }),
    )
    await runs.add(id(0), aPlan())
    expect(await until(runs, 0, 'failed')).toEqual({
      ...{ kind: 'failed', code: 'training-failed', params: { what: 'the loss is no number' } },
    })
    fail = false
    await runs.act(id(0), 'resume')
    await until(runs, 0, 'finished')
    expect(log).toEqual(['a from nothing', 'a from 4'])
  })

  test('go on from the checkpoint when the engine breaks, as long as they get on', async () => {
    const runs = open(
      training(async (step) => {
        if (log.length < 5 && step === 2 * log.length) throw new EngineFailedError('onnxruntime-cpu', 'killed')
      }),
    )
    await runs.add(id(0), aPlan())
    await until(runs, 0, 'finished')
    expect(log).toEqual(['a from nothing', 'a from 2', 'a from 4', 'a from 6', 'a from 8'])
    expect((await runs.show(id(0))).progress?.resumedFromStep).toBe(8)
  })

  test('fail when the engine breaks three times without getting on', async () => {
    const runs = open(
      training(async (step) => {
        if (step === 3) throw new EngineFailedError('onnxruntime-cpu', 'killed')
      }),
    )
    await runs.add(id(0), aPlan())
    expect(await until(runs, 0, 'failed')).toMatchObject({ code: 'engine-failed' })
    expect(log).toEqual(['a from nothing', 'a from 2', 'a from 2'])
  })

  test('end after the minutes they may train, waiting not counted', async () => {
    const now = { ms: 0 }
    const clock = { now: () => 0, monotonicMs: () => now.ms }
    const store = createInMemoryRunStore(kept)
    const runs = createRuns({
      ...{ store, clock, logger: quiet },
      conditions: {
        // Somebody else has the machine for an hour, once.
        reason: () => {
          if (now.ms !== 40_000) return null
          now.ms += 3_600_000
          return 'serving'
        },
        refresh: async () => {},
      },
      carryOut: training(async () => {
        now.ms += 10_000
      }),
    })
    started.push(runs)
    await runs.add(id(0), aPlan({}, { limits: { minutes: 1 } }))
    await until(runs, 0, 'finished')
    const { progress, result: made } = await runs.show(id(0))
    expect(progress?.step).toBe(7)
    expect(made?.seconds).toBe(70)
  })

  test('say what they wait for, and go on when it is over', async () => {
    let reason: WaitReason | null = 'on-battery'
    const runs = open(trainingUpTo(1), { reason: () => reason, refresh: async () => {} })
    await runs.add(id(0), aPlan())
    await vi.waitFor(async () => {
      expect((await runs.show(id(0))).state).toEqual({ kind: 'waiting', reason: 'on-battery' })
    })
    expect(log).toEqual([])
    reason = null
    await until(runs, 0, 'running', 1)
  })

  test('say so when serving keeps them waiting for more than a moment, and stop at once all the same', async () => {
    let reason: WaitReason | null = null
    const runs = open(
      training(async (step) => {
        if (step === 2) reason = 'serving'
      }),
      { reason: () => reason, refresh: async () => {} },
    )
    await runs.add(id(0), aPlan())
    await until(runs, 0, 'waiting', 2)
    expect((await runs.show(id(0))).state).toEqual({ kind: 'waiting', reason: 'serving' })
    await sleep(100)
    expect((await runs.show(id(0))).progress?.step).toBe(2)
    const askedAtMs = performance.now()
    expect((await runs.act(id(0), 'stop'))?.state).toEqual({ kind: 'stopped' })
    expect(performance.now() - askedAtMs).toBeLessThan(1_000)
  })

  test('of a profile with a finished run whose leftovers a crash kept are cleared', async () => {
    const finished = aStoredRun({ id: id(0), state: { kind: 'finished', patch: someDigest, earlyStopped: false } })
    await createInMemoryRunStore(kept).create(finished)
    await createInMemoryRunStore(kept).saveCheckpoint(id(0), 1, new Uint8Array(1))
    await open(training()).start()
    expect(kept.checkpoints.size).toBe(0)
  })

  test('are watched at four changes a second at most', async () => {
    const runs = open(training(() => sleep(30)))
    await runs.add(id(0), aPlan())
    const seen: number[] = []
    for await (const { state, progress } of runs.watch(id(0))) {
      seen.push(progress?.step ?? 0)
      if (state.kind === 'finished') break
    }
    expect(seen.length).toBeGreaterThan(1)
    expect(seen.length).toBeLessThan(6)
    expect(seen.at(-1)).toBe(10)
  })
})
