/** Runs, kept so that a node that ends, however it ends, goes on where it was. */
import type { CurvePoint, RunPlan, RunProgress, RunResult, RunState } from '#contracts/api/training.ts'

export interface StoredRun {
  readonly id: string
  readonly plan: RunPlan
  readonly state: RunState
  readonly progress: RunProgress | null
  readonly probes: readonly { readonly learningRate: number; readonly heldOutLoss: number | null }[]
  readonly result: RunResult | null
  /** Of training so far, waiting left out. */
  readonly seconds: number
}

export interface RunStore {
  create(run: StoredRun): Promise<void>
  /** Newest first. */
  list(): Promise<readonly StoredRun[]>
  /** By id, or a prefix of at least 8 characters. Throws `RunNotFoundError`. */
  get(id: string): Promise<StoredRun>
  /** Durable when it resolves. */
  update(id: string, change: Partial<Omit<StoredRun, 'id' | 'plan'>>): Promise<void>
  /** Adds points; one of a step that is there already replaces it. */
  addPoints(id: string, points: readonly CurvePoint[]): Promise<void>
  /** In the order of steps. */
  points(id: string): Promise<readonly CurvePoint[]>
  /** Forgets points after `step`: those after the checkpoint a run goes on from. */
  dropPointsAfter(id: string, step: number): Promise<void>
  /** Written whole or not at all; the newest two are kept. Throws `StorageError`. */
  saveCheckpoint(id: string, step: number, bytes: Uint8Array): Promise<void>
  /** The newest that is whole; null when there is none. A damaged one is passed over. */
  loadCheckpoint(id: string): Promise<{ readonly step: number; readonly bytes: Uint8Array } | null>
  /** A folder of the run's own, for its data and mask. */
  directory(id: string): Promise<string>
  /** Forgets its checkpoints and what lies in its folder: of no use once the patch is made. */
  clear(id: string): Promise<void>
  /** With its checkpoints and data. */
  remove(id: string): Promise<void>
}
