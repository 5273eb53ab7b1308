/**
 * Causal attention with grouped key-value heads as one differentiable operator. Query heads that share keys are laid one
 * after the other as rows, so that grouping needs no copies: (batch, kvHeads, group * tokens, headSize).
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { Value } from './graph.ts'
import type { Tape } from './tape.ts'

export interface AttentionInputs {
  readonly query: Value // (batch, kvHeads, group * tokens, headSize)
  readonly key: Value // (batch, kvHeads, positions, headSize)
  readonly value: Value // (batch, kvHeads, positions, headSize)
  /** (group * tokens, positions), added to the scores: 0 where a token may look, very low where not. */
  readonly mask: Value
}

/**
 * O = P V with P = softmax(Q Kᵀ / √d + mask) -> as `query`. With dP = dO Vᵀ and D = Σ dO ⊙ O a row:
 * dS = P ⊙ (dP - D), dQ = dS K / √d, dK = dSᵀ Q / √d, dV = Pᵀ dO (Dao et al. 2022, appendix B.2).
 */
export function attention(tape: Tape, inputs: AttentionInputs, { headSize }: Pick<ModelConfig, 'headSize'>): Value {
  const { graph, record } = tape
  const { query, key, value } = inputs
  const alpha = { float: 1 / Math.sqrt(headSize) }
  const scores = graph.fused('FusedMatMul', [query, key], { transB: { int: 1 }, alpha })
  const weights = graph.node('Softmax', [graph.node('Add', [scores, inputs.mask])], { axis: { int: -1 } })
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
