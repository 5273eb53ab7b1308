/** What a plan is made of. */
import type { DataWarning, RunPlan, TrainRequest } from '#contracts/api/training.ts'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import type { DataCard, MaskChoice } from '#contracts/patch-file/header.ts'
import type { TrainedSizes } from './plan-sizes.ts'

export interface PlanInput {
  readonly request: TrainRequest
  readonly base: Pick<ModelManifest, 'digest' | 'name' | 'config'>
  readonly objective: RunPlan['objective']
  readonly data: DataCard
  readonly warnings: readonly DataWarning[]
  /** The tensors and counts of the shared mask; null to choose one. */
  readonly sharedMask: readonly { readonly tensor: string; readonly entries: number }[] | null
  readonly machine: {
    readonly threads: number
    /** What the policy lets training have; null: not known. */
    readonly memoryLimitBytes: number | null
    /** Floating-point operations a second that training reaches (`operationsPerSecond`); null: not known. */
    readonly operationsPerSecond: number | null
  }
  readonly createdAtMs: number
}

/** What was decided, before it is known how long it takes. */
export interface PlannedWork {
  readonly input: PlanInput
  readonly mask: MaskChoice | null
  readonly hyperParameters: RunPlan['hyperParameters']
  readonly sizes: TrainedSizes
  readonly evaluateEvery: number
  readonly probes: { readonly rates: number; readonly steps: number }
}
