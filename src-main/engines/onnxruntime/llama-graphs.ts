/** The two graphs a Llama needs: one block with its cache, and final norm with head. Matrices are (out, in): x Wᵀ. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { BlockWeightName } from './block-weights.ts'
import { paddedHeadSize } from './head-padding.ts'
import type { OnnxGraph, OnnxNode, OnnxValue, OnnxWeight } from './onnx-model.ts'

export type HeadWeightName = 'finalNorm' | 'head'

/**
 * Norm, attention, norm, feed-forward (compare `core/numerics/block.ts`). Inputs: `x` (1, tokens, hidden), the cache
 * `pastKey` and `pastValue` (1, kvHeads, capacity, headSize), `lastPosition` (1,), `totalLength` (1,) and the rotary
 * tables `cos` and `sin` (positions, headSize / 2). Outputs: `y` like `x`, and the cache with the new positions written.
 */
export function blockGraph(config: ModelConfig, weights: readonly OnnxWeight[]): OnnxGraph {
  const epsilon = { float: config.rmsNormEpsilon }
  return {
    weights,
    inputs: [
      hiddenState('x', config),
      ...['pastKey', 'pastValue'].map((name) => cache(name, config, 'capacity')),
      ...['position', 'lastPosition', 'totalLength', 'positionAxis'].map(
        (name) => ({ name, type: 'int32', shape: [1] }) as const,
      ),
      ...['cos', 'sin'].map((name) => rotaryTable(name, config)),
    ],
    nodes: [
      norm('x', named('attentionNorm'), 'normed', epsilon),
      matrixProduct('normed', named('queryKeyValue'), 'projected'),
      attention('projected', 'attended', config),
      newRows('presentKey', 'newKey'),
      newRows('presentValue', 'newValue'),
      matrixProduct('attended', named('output'), 'attentionOutput'),
      {
        operator: 'SkipSimplifiedLayerNormalization',
        domain: 'com.microsoft',
        inputs: ['x', 'attentionOutput', named('feedForwardNorm')],
        outputs: ['feedForwardInput', '', '', 'residual'],
        attributes: { epsilon },
      },
      ...feedForward('feedForwardInput', 'feedForwardOutput'),
      { operator: 'Add', inputs: ['residual', 'feedForwardOutput'], outputs: ['y'] },
    ],
    outputs: [hiddenState('y', config), ...['newKey', 'newValue'].map((name) => cache(name, config, 'tokens'))],
  }
}

/** `x` (1, tokens, hidden) -> `logits` (1, tokens, vocabulary) */
export function headGraph(config: ModelConfig, weights: readonly OnnxWeight[]): OnnxGraph {
  return {
    weights,
    inputs: [hiddenState('x', config)],
    nodes: [
      norm('x', headNamed('finalNorm'), 'normed', { float: config.rmsNormEpsilon }),
      matrixProduct('normed', headNamed('head'), 'logits'),
    ],
    outputs: [{ name: 'logits', type: 'float32', shape: [1, 'tokens', config.vocabularySize] }],
  }
}

/** Rotates queries and keys, writes keys and values to the cache, and attends causally to all of it. */
function attention(input: string, output: string, config: ModelConfig): OnnxNode {
  return {
    operator: 'GroupQueryAttention',
    domain: 'com.microsoft',
    inputs: [input, '', '', 'pastKey', 'pastValue', 'lastPosition', 'totalLength', 'cos', 'sin'],
    outputs: [output, 'presentKey', 'presentValue'],
    attributes: {
      num_heads: { int: config.headCount },
      kv_num_heads: { int: config.kvHeadCount },
      scale: { float: 1 / Math.sqrt(config.headSize) }, // by the true head size, not the padded one
      do_rotary: { int: 1 },
      rotary_interleaved: { int: config.ropeStyle === 'interleaved' ? 1 : 0 },
    },
  }
}

/** The rows at [position, totalLength) of the cache that the attention kernel made. */
function newRows(present: string, output: string): OnnxNode {
  return { operator: 'Slice', inputs: [present, 'position', 'totalLength', 'positionAxis'], outputs: [output] }
}

/** SwiGLU: (silu(gate) ⊙ up) down */
function feedForward(input: string, output: string): OnnxNode[] {
  return [
    matrixProduct(input, named('gate'), 'gateOutput'),
    matrixProduct(input, named('up'), 'upOutput'),
    { operator: 'Sigmoid', inputs: ['gateOutput'], outputs: ['gateSigmoid'] },
    { operator: 'Mul', inputs: ['gateOutput', 'gateSigmoid'], outputs: ['gateSilu'] },
    { operator: 'Mul', inputs: ['gateSilu', 'upOutput'], outputs: ['gated'] },
    matrixProduct('gated', named('down'), output),
  ]
}

function norm(input: string, gain: string, output: string, epsilon: { float: number }): OnnxNode {
  return {
    operator: 'SimplifiedLayerNormalization',
    inputs: [input, gain],
    outputs: [output],
    attributes: { axis: { int: -1 }, epsilon },
  }
}

function matrixProduct(input: string, weight: string, output: string): OnnxNode {
  return {
    operator: 'FusedMatMul',
    domain: 'com.microsoft',
    inputs: [input, weight],
    outputs: [output],
    attributes: { transB: { int: 1 } },
  }
}

function hiddenState(name: string, { hiddenSize }: ModelConfig): OnnxValue {
  return { name, type: 'float32', shape: [1, 'tokens', hiddenSize] }
}

function cache(name: string, { kvHeadCount, headSize }: ModelConfig, rows: string): OnnxValue {
  return { name, type: 'float32', shape: [1, kvHeadCount, rows, paddedHeadSize(headSize)] }
}

function rotaryTable(name: string, { headSize }: ModelConfig): OnnxValue {
  return { name, type: 'float32', shape: ['positions', paddedHeadSize(headSize) / 2] }
}

/** Weights' names, checked by the compiler against what the layouts declare. */
function named(name: BlockWeightName): string {
  return name
}
function headNamed(name: HeadWeightName): string {
  return name
}
