/** What a training run is given, tells while it runs, and comes to. */
import type { CurvePoint, RunPhase, RunPlan, RunProgress } from '#contracts/api/training.ts'
import type { Metric, TrainingRecord } from '#contracts/patch-file/header.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import type { Clock } from '../ports/clock.ts'
import type { PatchWeights } from '../ports/engine.ts'
import type { ModelHandle } from '../ports/model-store.ts'
import type { TrainingEngine, TrainingExample } from '../ports/training-engine.ts'

/** One question: its choices as examples, the right one among them. Weights cover the choices' own tokens. */
export interface ChoiceExample {
  readonly choices: readonly TrainingExample[]
  readonly answer: number
}

export type RunExamples =
  | {
      readonly objective: 'language-model'
      readonly train: readonly TrainingExample[]
      readonly heldOut: readonly TrainingExample[]
    }
  | {
      readonly objective: 'multiple-choice'
      readonly train: readonly ChoiceExample[]
      readonly heldOut: readonly ChoiceExample[]
    }

export interface TrainingRunComponents {
  readonly engine: TrainingEngine
  readonly model: ModelHandle
  /** Patches it stands on. */
  readonly on: readonly PatchWeights[]
  readonly examples: RunExamples
  /** Text of the base's own kind: mixed in when the plan protects it, and always measured. Empty when there is none. */
  readonly baseText: { readonly train: readonly TrainingExample[]; readonly heldOut: readonly TrainingExample[] }
  /** Indices of the shared mask; null to choose one. */
  readonly mask: readonly { readonly tensor: string; readonly indices: Uint32Array }[] | null
  readonly clock: Clock
  /** Waited for before every piece of work (at most about a tenth of a second each): resolves when work may be done. */
  readonly gate: (signal: AbortSignal) => Promise<void>
}

/** Told in order; whoever listens may keep the run waiting. */
export type RunEvent =
  | { readonly type: 'phase'; readonly phase: RunPhase }
  | { readonly type: 'progress'; readonly progress: Omit<RunProgress, 'resumedFromStep'> }
  | { readonly type: 'points'; readonly points: readonly CurvePoint[] }
  | { readonly type: 'probe'; readonly learningRate: number; readonly heldOutLoss: number | null }
  /** To be written before anything else is done: the run goes on from here after a crash, with the same result bit for bit. */
  | { readonly type: 'checkpoint'; readonly step: number; readonly bytes: Uint8Array }

export interface TrainingOutcome {
  /** Values as the patch's format will give them back; what the metrics were measured with. */
  readonly content: PatchContent
  readonly record: TrainingRecord
  readonly metrics: readonly Metric[]
  readonly earlyStopped: boolean
  /** See `runResultSchema`. */
  readonly roundingLoss: number | null
}

export interface TrainingRunOptions {
  readonly signal: AbortSignal
  /** Aborted: end training after the step under way and make the patch of what there is. */
  readonly finish: AbortSignal
  /** What `checkpoint` events gave, to go on from; null to begin. Throws `TrainingFailedError` when it belongs to another plan. */
  readonly resume: Uint8Array | null
  readonly onEvent: (event: RunEvent) => Promise<void>
}

export type RunTraining = (
  components: TrainingRunComponents,
  plan: RunPlan,
  options: TrainingRunOptions,
) => Promise<TrainingOutcome>
