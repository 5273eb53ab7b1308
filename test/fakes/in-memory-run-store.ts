/** Runs in memory. What is kept outlives the stores that open it, as a disk outlives processes. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CurvePoint } from '#contracts/api/training.ts'
import { RunNotFoundError } from '#core/errors.ts'
import type { RunStore, StoredRun } from '#core/ports/run-store.ts'

export interface KeptRuns {
  readonly runs: Map<string, StoredRun>
  readonly points: Map<string, Map<number, CurvePoint>>
  /** Newest last; null bytes: damaged. */
  readonly checkpoints: Map<string, { step: number; bytes: Uint8Array | null }[]>
  readonly folder: string
}

export function createKeptRuns(): KeptRuns & Disposable {
  const folder = mkdtempSync(join(tmpdir(), 'quiltbee-runs-'))
  return {
    runs: new Map(),
    points: new Map(),
    checkpoints: new Map(),
    folder,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}

export function createInMemoryRunStore(kept: KeptRuns): RunStore {
  const { runs, points, checkpoints, folder } = kept
  const expect = (id: string): StoredRun => {
    const run = runs.get(id)
    if (!run) throw new RunNotFoundError(id)
    return run
  }
  return {
    async create(run) {
      runs.set(run.id, structuredClone(run))
    },
    list: async () => [...runs.values()].toReversed(),
    async get(name) {
      const [only, ...others] = name.length < 8 ? [] : [...runs.keys()].filter((id) => id.startsWith(name))
      if (only === undefined || others.length > 0) throw new RunNotFoundError(name)
      return expect(only)
    },
    async update(id, change) {
      runs.set(id, structuredClone({ ...expect(id), ...change }))
    },
    async addPoints(id, added) {
      expect(id)
      const known = points.get(id) ?? new Map<number, CurvePoint>()
      for (const point of added) known.set(point.step, point)
      points.set(id, known)
    },
    points: async (id) => [...(points.get(id)?.values() ?? [])].sort((a, b) => a.step - b.step),
    async dropPointsAfter(id, step) {
      for (const known of [...(points.get(id)?.keys() ?? [])]) if (known > step) points.get(id)?.delete(known)
    },
    async saveCheckpoint(id, step, bytes) {
      checkpoints.set(id, [...(checkpoints.get(id) ?? []), { step, bytes: bytes.slice() }].slice(-2))
    },
    async loadCheckpoint(id) {
      const whole = checkpoints.get(id)?.findLast(({ bytes }) => bytes !== null)
      return whole?.bytes ? { step: whole.step, bytes: whole.bytes } : null
    },
    async directory(id) {
      const directory = join(folder, id)
      mkdirSync(directory, { recursive: true })
      return directory
    },
    async clear(id) {
      checkpoints.delete(id)
      rmSync(join(folder, id), { recursive: true, force: true })
    },
    async remove(id) {
      expect(id)
      runs.delete(id)
      points.delete(id)
      checkpoints.delete(id)
      rmSync(join(folder, id), { recursive: true, force: true })
    },
  }
}
