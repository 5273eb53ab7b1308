/** Between what keeps the list of runs and what does a run's work. */
import type { RunPlan, RunResult } from '#contracts/api/training.ts'
import type { RunEvent } from '#core/training/run-types.ts'

export interface CarryOutOptions {
  readonly signal: AbortSignal
  /** Aborted: make the patch of what there is. */
  readonly finish: AbortSignal
  /** The newest checkpoint; null to begin. */
  readonly resume: Uint8Array | null
  readonly gate: (signal: AbortSignal) => Promise<void>
  readonly onEvent: (event: RunEvent) => Promise<void>
}

export interface CarriedOut {
  readonly result: Omit<RunResult, 'seconds'>
  readonly earlyStopped: boolean
}

/** From data to a patch in the library. Rejects with the signal's reason; whatever it had loaded is free then. */
export type CarryOut = (
  run: { readonly id: string; readonly plan: RunPlan },
  options: CarryOutOptions,
) => Promise<CarriedOut>
