/**
 * The runs of this machine: one at a time is carried out, the others wait their turn. What a run was doing is kept so that
 * a node that ends, however it ends, goes on where it was; an engine that breaks is started again, three times in a row.
 */
import type { RunAction, RunDetail, RunPhase, RunPlan, RunState, RunSummary } from '#contracts/api/training.ts'
import { codeOf } from '#contracts/errors.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Logger } from '#core/ports/logger.ts'
import type { RunStore, StoredRun } from '#core/ports/run-store.ts'
import { createSerialQueue } from '#core/serial-queue.ts'
import type { RunEvent } from '#core/training/run-types.ts'
import { createBroadcast } from '../broadcast.ts'
import { failureOf } from '../failure.ts'
import type { CarriedOut, CarryOut } from './carry-out-types.ts'
import type { RunConditions } from './conditions.ts'
import { createGate } from './gate.ts'
import { createRunRecord, type RunRecord } from './run-record.ts'
import { detailOf, summaryOf } from './run-views.ts'
import type { Suspension } from './suspension.ts'
import { isUnfinished, transitionFor } from './transitions.ts'

export interface RunsComponents {
  readonly store: RunStore
  readonly conditions: RunConditions
  readonly carryOut: CarryOut
  readonly clock: Clock
  /** Of pieces under way; none are when left out. */
  readonly suspension?: Pick<Suspension, 'clock' | 'onChange'> | undefined
  readonly logger: Logger
}

export interface Runs {
  /** Takes up what was under way when the node ended. Called once, when the node's first decision about hosting is made. */
  start(): Promise<void>
  /** Ends what is under way; it goes on with the next `start`. */
  stop(): Promise<void>
  /** A new run, at the end of the queue. Its data is in the run's folder already. */
  add(id: string, plan: RunPlan): Promise<RunSummary>
  /** Newest first. */
  list(): Promise<RunSummary[]>
  /** By id, or a prefix of at least 8 characters. Throws `RunNotFoundError`. */
  show(id: string): Promise<RunDetail>
  /** At once, and then after every change, at most four a second; ends when the run is removed. */
  watch(id: string, signal?: AbortSignal): AsyncGenerator<RunDetail, void, undefined>
  /** Resolves when it is done: null for a run that was removed. Throws `RunNotFoundError`, `RunStateError`. */
  act(id: string, action: RunAction): Promise<RunSummary | null>
}

/** The run that is being carried out. */
interface Current {
  readonly record: RunRecord
  /** Aborted by whoever wants it to end, and says afterwards what it is then. */
  readonly ending: AbortController
  readonly finish: AbortController
  readonly done: PromiseWithResolvers<void>
  /** Written since it was taken up. */
  checkpoints: number
  /** The program or its worker ended beneath it: it says from which step it goes on. */
  crashed: boolean
}

type AttemptEnd =
  | { readonly kind: 'finished'; readonly outcome: CarriedOut }
  /** It was asked to end. */
  | { readonly kind: 'ended' }
  /** It gave its memory back and waits. */
  | { readonly kind: 'gave-up' }
  | { readonly kind: 'failed'; readonly error: unknown }

/** At most four a second: a person cannot read faster. */
const tellEveryMs = 250
/** Engines that broke in a row, without a checkpoint in between. */
const maximumFailures = 3

export function createRuns(components: RunsComponents): Runs {
  const { store, conditions, carryOut, clock, suspension, logger } = components
  const broadcast = createBroadcast({ intervalMs: tellEveryMs })
  const actions = createSerialQueue()
  const stopping = new AbortController()
  const queue: Current[] = []
  let current: Current | null = null
  let working: Promise<void> = Promise.resolve()

  const live = (): readonly Current[] => (current === null ? queue : [current, ...queue])
  const liveRun = (id: string): Current | undefined => live().find(({ record }) => record.id === id)

  function take(stored: StoredRun, { crashed = false } = {}): Current {
    const workClock = suspension?.clock ?? clock
    const record = createRunRecord({ store, clock: workClock, onChange: broadcast.changed }, stored)
    const [ending, finish] = [new AbortController(), new AbortController()]
    return { record, ending, finish, done: Promise.withResolvers(), checkpoints: 0, crashed }
  }

  /** The state first, so that a crash in between changes nothing but the order. */
  async function enqueue(run: Current): Promise<void> {
    await run.record.become(live().length > 0 ? { kind: 'waiting', reason: 'another-run' } : preparing)
    queue.push(run)
    if (current === null) working = work()
  }

  async function work(): Promise<void> {
    for (current = queue.shift() ?? null; current !== null; current = queue.shift() ?? null) {
      if (stopping.signal.aborted) break
      const { done } = current
      await carry(current).catch((error: unknown) => logger.error({ error }, 'a run could not be kept'))
      done.resolve()
    }
    current = null
  }

  async function carry(run: Current): Promise<void> {
    let failures = 0
    for (;;) {
      const written = run.checkpoints
      const end = await attempt(run)
      if (end.kind === 'ended') return await run.record.flush()
      if (end.kind === 'finished') return await keepResult(run, end.outcome)
      if (end.kind === 'gave-up') continue
      failures = run.checkpoints > written ? 1 : failures + 1
      const { id } = run.record
      if (codeOf(end.error) !== 'engine-failed' || failures >= maximumFailures) {
        logger.error({ error: end.error, run: id }, 'a run failed')
        return await run.record.become({ kind: 'failed', ...failureOf(end.error) })
      }
      logger.warn({ error: end.error, run: id }, 'the engine broke; the run goes on from its last checkpoint')
      run.crashed = true
    }
  }

  async function attempt(run: Current): Promise<AttemptEnd> {
    const { record } = run
    const givingUp = new AbortController()
    const signal = AbortSignal.any([run.ending.signal, stopping.signal, givingUp.signal])
    let phase: RunPhase = 'preparing'
    const gate = createGate(
      { conditions, clock },
      {
        memoryBytes: record.plan.predicted.memoryBytes,
        onGiveUp: () => givingUp.abort(),
        onHeld: (reason) => {
          const state: RunState = reason === null ? { kind: 'running', phase } : { kind: 'waiting', reason }
          record.note({ state }).catch((error: unknown) => logger.warn({ error }, 'could not note that a run waits'))
        },
      },
    )

    const stopHearing = suspension?.onChange(gate.suspended)

    /** Waiting is not counted. */
    const pass = async (loaded: boolean, wanted: AbortSignal): Promise<void> => {
      record.stopWatch()
      await gate.wait({ loaded, signal: wanted === signal ? signal : AbortSignal.any([signal, wanted]) })
      record.startWatch()
      if (isOverTime(record)) run.finish.abort()
    }

    try {
      await pass(false, signal)
      const checkpoint = await store.loadCheckpoint(record.id)
      await record.goBackTo(checkpoint?.step ?? -1)
      const resumedFromStep = run.crashed ? (checkpoint?.step ?? 0) : (record.now().progress?.resumedFromStep ?? null)
      run.crashed = false
      await record.become({ kind: 'running', phase })
      const outcome = await carryOut(record, {
        signal,
        finish: run.finish.signal,
        resume: checkpoint?.bytes ?? null,
        gate: (wanted) => pass(true, wanted),
        onEvent: async (event) => {
          if (event.type === 'phase') phase = event.phase
          if (event.type === 'checkpoint') run.checkpoints += 1
          await note(record, event, resumedFromStep)
        },
      })
      return { kind: 'finished', outcome }
    } catch (error) {
      if (run.ending.signal.aborted || stopping.signal.aborted) return { kind: 'ended' }
      return givingUp.signal.aborted ? { kind: 'gave-up' } : { kind: 'failed', error }
    } finally {
      stopHearing?.()
      gate.close()
      record.stopWatch()
    }
  }

  /** What a crash in between leaves behind is cleared by the next `start`. */
  async function keepResult({ record }: Current, { result, earlyStopped }: CarriedOut): Promise<void> {
    const { seconds } = record.now()
    await record.become({ kind: 'finished', patch: result.patch, earlyStopped }, { result: { ...result, seconds } })
    logger.info({ run: record.id, patch: result.patch }, 'a run made its patch')
    await store.clear(record.id)
  }

  async function find(id: string): Promise<StoredRun> {
    const stored = await store.get(id)
    return liveRun(stored.id)?.record.now() ?? stored
  }

  /** Takes the run out of the queue, or ends its work and waits until that has let go of everything. */
  async function end(run: Current | undefined): Promise<void> {
    if (run === undefined) return
    run.ending.abort()
    const place = queue.indexOf(run)
    if (place >= 0) queue.splice(place, 1)
    else await run.done.promise
  }

  async function change(id: string, action: RunAction): Promise<RunSummary | null> {
    const stored = await find(id)
    const run = liveRun(stored.id)
    /** A process that ended left it so, and nobody has taken it up yet. */
    const crashed = run === undefined && isUnfinished(stored.state)
    const transition = transitionFor({ ...stored, step: stored.progress?.step ?? 0 }, action)
    if (transition === 'queue' || (crashed && action === 'resume')) await enqueue(take(stored, { crashed }))
    if (transition === 'queue-to-finish') {
      const taken = run ?? take(stored, { crashed })
      taken.finish.abort()
      if (run === undefined) await enqueue(taken)
    }
    if (transition === 'pause' || transition === 'stop') {
      await end(run)
      const cameToItsEnd = run !== undefined && !isUnfinished(run.record.now().state)
      if (!cameToItsEnd)
        await store.update(stored.id, { state: { kind: transition === 'pause' ? 'paused' : 'stopped' } })
    }
    if (transition === 'remove') {
      await end(run)
      await store.remove(stored.id)
    }
    broadcast.changed()
    return transition === 'remove' ? null : summaryOf(await find(stored.id))
  }

  /** Oldest first. Whoever was quick may have added runs already. */
  async function takeUp(): Promise<void> {
    const all = await store.list()
    for (const { id, state } of all) if (state.kind === 'finished') await store.clear(id)
    for (const stored of all.toReversed()) {
      if (isUnfinished(stored.state) && !liveRun(stored.id)) await enqueue(take(stored, { crashed: true }))
    }
  }

  return {
    start: () => actions.add(takeUp),
    async stop() {
      stopping.abort()
      await working
      broadcast.stop()
    },
    add: (id, plan) =>
      actions.add(async () => {
        const stored: StoredRun = { id, plan, state: preparing, progress: null, probes: [], result: null, seconds: 0 }
        await store.create(stored)
        await enqueue(take(stored))
        broadcast.changed()
        return summaryOf(await find(id))
      }),
    async list() {
      return (await store.list()).map((stored) => summaryOf(liveRun(stored.id)?.record.now() ?? stored))
    },
    show,
    async *watch(id, signal) {
      for await (const _ of broadcast.changes(signal)) {
        const detail = await show(id).catch((error: unknown) => {
          if (codeOf(error) === 'run-not-found') return null
          throw error
        })
        if (detail === null) return
        yield detail
      }
    },
    act: (id, action) => actions.add(() => change(id, action)),
  }

  async function show(id: string): Promise<RunDetail> {
    const stored = await find(id)
    await liveRun(stored.id)?.record.flush()
    return detailOf(stored, await store.points(stored.id))
  }
}

const preparing: RunState = { kind: 'running', phase: 'preparing' }

function isOverTime(record: RunRecord): boolean {
  const { minutes } = record.plan.request.limits
  const { seconds, progress } = record.now()
  return minutes !== null && seconds >= minutes * 60 && (progress?.step ?? 0) > 0
}

async function note(record: RunRecord, event: RunEvent, resumedFromStep: number | null): Promise<void> {
  switch (event.type) {
    case 'phase':
      return await record.note({ state: { kind: 'running', phase: event.phase } })
    case 'progress': {
      // Other phases know of no steps; how fast training was stays known, as plans are made with it.
      const { step, tokensPerSecond } = record.now().progress ?? { step: 0, tokensPerSecond: null }
      const kept = { step: Math.max(step, event.progress.step), resumedFromStep }
      const speed = event.progress.tokensPerSecond ?? tokensPerSecond
      return await record.note({ progress: { ...event.progress, ...kept, tokensPerSecond: speed } })
    }
    case 'points':
      return await record.addPoints(event.points)
    case 'probe': {
      const { learningRate, heldOutLoss } = event
      const others = record.now().probes.filter((probe) => probe.learningRate !== learningRate)
      return await record.note({ probes: [...others, { learningRate, heldOutLoss }] })
    }
    case 'checkpoint':
      return await record.saveCheckpoint(event.step, event.bytes)
  }
}
