/**
 * Causal attention with grouped key-value heads as one differentiable operator. Query heads that share keys are laid one
 * after the other as rows, so that grouping needs no copies: (batch, kvHeads, group * tokens, headSize).
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { Value } from './graph.ts'
import type { Tape } from './tape.ts'

export type HeadCounts = Pick<ModelConfig, 'headCount' | 'kvHeadCount' | 'headSize'>

export interface AttentionInputs {
  readonly query: Value // (batch, kvHeads, group * tokens, headSize)
  readonly key: Value // (batch, kvHeads, positions, headSize)
  readonly value: Value // (batch, kvHeads, positions, headSize)
  /** (tokens, positions), added to the scores: 0 where a token may look, very low where not. */
  readonly mask: Value
}

/**
 * O = P V with P = softmax(Q Kᵀ / √d + mask) -> as `query`. With dP = dO Vᵀ and D = Σ dO ⊙ O a row:
 * dS = P ⊙ (dP - D), dQ = dS K / √d, dK = dSᵀ Q / √d, dV = Pᵀ dO (Dao et al. 2022, appendix B.2).
 */
export function attention(tape: Tape, inputs: AttentionInputs, heads: HeadCounts): Value {
  const { graph, record } = tape
  const { query, key, value } = inputs
  const alpha = { float: 1 / Math.sqrt(heads.headSize) }
  const scores = graph.fused('FusedMatMul', [query, key], { transB: { int: 1 }, alpha })
  const weights = maskedSoftmax(tape, scores, inputs.mask, heads)
  const output = graph.node('MatMul', [weights, value])
  return record(output, [query, key, value], (dO) => {
    const dP = graph.fused('FusedMatMul', [dO, value], { transB: { int: 1 } })
    const rowSums = graph.node('ReduceSum', [graph.node('Mul', [dO, output]), graph.constant('int64', [-1], [1])])
    const dS = graph.node('Mul', [weights, graph.node('Sub', [dP, rowSums])])
    return [
      graph.fused('FusedMatMul', [dS, key], { alpha }),
      graph.fused('FusedMatMul', [dS, query], { transA: { int: 1 }, alpha }),
      graph.fused('FusedMatMul', [weights, dO], { transA: { int: 1 } }),
    ]
  })
}

/** `scores` (batch, kvHeads, group * tokens, positions). The mask is one for all heads, so heads are told apart for it. */
function maskedSoftmax({ graph }: Tape, scores: Value, mask: Value, { headCount, kvHeadCount }: HeadCounts): Value {
  const shaped = (value: Value, shape: readonly number[]) =>
    graph.node('Reshape', [value, graph.constant('int64', shape, [shape.length])])
  const heads = shaped(scores, [0, headCount, -1, 0])
  const softmax = graph.node('Softmax', [graph.node('Add', [heads, mask])], { axis: { int: -1 } })
  return shaped(softmax, [0, kvHeadCount, -1, 0])
}
