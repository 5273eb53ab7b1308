/**
 * What generating needs of the blocks: something that takes hidden states in at the first block and gives them back after
 * the last. Whether they ran here or on five peers, and which of those were lost meanwhile, is the pipeline's business.
 */
import type { Hop, HopReport } from '#contracts/api/chat.ts'

export interface Pipeline {
  /** The route in use now. */
  readonly hops: readonly Hop[]
  /**
   * Appends `hidden` (tokens, hiddenSize) and returns the last block's output of the same shape. Calls do not overlap;
   * after one that threw, the pipeline can only be closed.
   */
  forward(hidden: Float32Array, options?: { signal?: AbortSignal }): Promise<Float32Array>
  /** What every hop did so far, those that were lost on the way included. */
  reports(): readonly HopReport[]
  /** Ends all sessions. Idempotent. */
  close(outcome: 'completed' | 'interrupted' | 'failed'): Promise<void>
}

export interface PipelineRequest {
  /** Positions the sequence may reach. */
  readonly maxLength: number
  readonly signal?: AbortSignal
  /** Called after a failover, while `forward` runs, with the new route. */
  readonly onRouteChange: (change: { readonly hops: readonly Hop[]; readonly lostPeerId: string }) => void
}
