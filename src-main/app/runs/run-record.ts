/**
 * One run as it is now, in memory, and kept: what a crash must not lose is written at once, what changes many times a
 * second (progress, the curve) at most once in a while, and always before a checkpoint, so that the two agree.
 */
import type { CurvePoint, RunState } from '#contracts/api/training.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { RunStore, StoredRun } from '#core/ports/run-store.ts'

type Change = Partial<Omit<StoredRun, 'id' | 'plan' | 'seconds'>>

export interface RunRecord {
  readonly id: string
  readonly plan: StoredRun['plan']
  /** As it is now, `seconds` counted to this moment. */
  now(): StoredRun
  /** Durable when it resolves. */
  become(state: RunState, change?: Change): Promise<void>
  /** Seen at once, written when its turn comes. */
  note(change: Change): Promise<void>
  addPoints(points: readonly CurvePoint[]): Promise<void>
  saveCheckpoint(step: number, bytes: Uint8Array): Promise<void>
  /** Forgets what came after `step`; -1: all. */
  goBackTo(step: number): Promise<void>
  /** Writes what has not been written yet. */
  flush(): Promise<void>
  /** The time from here on counts as the run's own. */
  startWatch(): void
  stopWatch(): void
}

const writeEveryMs = 1_000

export function createRunRecord(
  components: { readonly store: RunStore; readonly clock: Clock; readonly onChange: () => void },
  stored: StoredRun,
): RunRecord {
  const { store, clock, onChange } = components
  const { id, plan } = stored
  let run = stored
  let runningSinceMs: number | null = null
  let writtenAtMs = Number.NEGATIVE_INFINITY
  let unwritten: CurvePoint[] = []

  function now(): StoredRun {
    const beganMs = runningSinceMs
    return beganMs === null ? run : { ...run, seconds: run.seconds + (clock.monotonicMs() - beganMs) / 1000 }
  }

  async function flush(): Promise<void> {
    writtenAtMs = clock.monotonicMs()
    const points = unwritten
    unwritten = []
    if (points.length > 0) await store.addPoints(id, points)
    const { id: _, plan: __, ...change } = now()
    await store.update(id, change)
  }

  async function flushInTurn(): Promise<void> {
    if (clock.monotonicMs() - writtenAtMs >= writeEveryMs) await flush()
  }

  function stopWatch(): void {
    run = now()
    runningSinceMs = null
  }

  return {
    id,
    plan,
    now,
    flush,
    stopWatch,
    startWatch() {
      if (runningSinceMs === null) runningSinceMs = clock.monotonicMs()
    },
    async become(state, change = {}) {
      run = { ...run, ...change, state }
      onChange()
      await flush()
    },
    async note(change) {
      run = { ...run, ...change }
      onChange()
      await flushInTurn()
    },
    async addPoints(points) {
      unwritten.push(...points)
      onChange()
      await flushInTurn()
    },
    async saveCheckpoint(step, bytes) {
      await flush()
      await store.saveCheckpoint(id, step, bytes)
    },
    async goBackTo(step) {
      unwritten = []
      const { progress } = run
      run = { ...run, progress: progress && { ...progress, step: Math.min(progress.step, Math.max(0, step)) } }
      await store.dropPointsAfter(id, step)
    },
  }
}
