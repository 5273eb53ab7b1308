/** How far a run has come: made anew with each piece of work, and all that a checkpoint holds. */
import type { OptimizerState } from '../ports/training-engine.ts'
import type { ItemLoss } from './items.ts'
import type { MaskTensor } from './mask.ts'

export interface RunState {
  /** The base, before anything is trained. */
  readonly measured: {
    /** Mean held-out loss as the curve shows it; null without held-out examples. */
    readonly validation: number | null
    readonly heldOut: readonly ItemLoss[]
    readonly baseText: readonly ItemLoss[]
  } | null
  /** Null until chosen, and for methods without. */
  readonly mask: readonly MaskTensor[] | null
  /** Learning rates tried so far. */
  readonly probes: readonly { readonly learningRate: number; readonly heldOutLoss: number | null }[]
  readonly training: TrainingState | null
}

export interface TrainingState {
  /** Steps done. */
  readonly step: number
  /** One array for each parameter. */
  readonly values: readonly Float32Array[]
  readonly optimizer: OptimizerState
  /** Where the held-out loss was lowest; null before its first measurement. */
  readonly best: { readonly step: number; readonly loss: number; readonly values: readonly Float32Array[] } | null
  /** Measurements since. */
  readonly sinceBest: number
  /** `early`: the held-out loss fell no more; `whole`: all steps were done, or the owner had enough. */
  readonly ended: 'early' | 'whole' | null
}

export const nothingDone: RunState = { measured: null, mask: null, probes: [], training: null }
