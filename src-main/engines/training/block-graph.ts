/**
 * One transformer block, forward and backward, as a graph (compare `core/numerics/block.ts`). Batch, tokens and the length of
 * the past are left to the run; what varies here is what a block has: scales, a past, masked matrices.
 */
import type { BlockTensorRole, ModelConfig } from '#contracts/model/manifest.ts'
import { blockShapes } from '#core/numerics/block.ts'
import type { ScaleTarget } from '#core/ports/engine.ts'
import { attention } from './attention.ts'
import { createGraph, type Graph, type Value } from './graph.ts'
import {
  add,
  addBias,
  appendRows,
  linear,
  type Matrix,
  reshape,
  rmsNorm,
  rotate,
  scale,
  swapMiddle,
  swishGate,
} from './operators.ts'
import { createTape, type Tape } from './tape.ts'

export interface BlockFeatures {
  /** Keys and values of earlier positions, constant: `pastKeys` and `pastValues` (1, positions, kvHeads * headSize). */
  readonly past: boolean
  /** Activations that are multiplied by a vector: input `scale.<target>`. */
  readonly scales: readonly ScaleTarget[]
  /** Those that a constant vector multiplies as well: input `standing.<target>`. */
  readonly standing: readonly ScaleTarget[]
  /** Matrices whose gradient is wanted at some entries: inputs `<role>.rows` and `<role>.columns`. */
  readonly masked: readonly BlockTensorRole[]
}

/**
 * Inputs: `x` and `outputGradient` (batch, tokens, hidden), `cos` and `sin` (tokens, headSize / 2), `mask` (group * tokens,
 * past + tokens), each tensor by its role, and those of `BlockFeatures`.
 */
export interface BlockGraph {
  readonly graph: Graph
  readonly y: Value
  /** (batch, tokens, kvHeads * headSize), keys already turned. */
  readonly keys: Value
  readonly values: Value
  /** What products with weights made and what attention takes and gives: the backward pass needs no product twice. */
  readonly kept: readonly Value[]
  readonly inputGradient: Value
  readonly tensorGradients: Readonly<Record<string, Value>>
  readonly scaleGradients: Readonly<Partial<Record<ScaleTarget, Value>>>
}

export function buildBlockGraph(config: ModelConfig, features: BlockFeatures): BlockGraph {
  const graph = createGraph()
  const tape = createTape(graph)
  const x = graph.input('x')
  const block = { tape, config, features, inputs: declareInputs(graph, config, features), kept: [] as Value[] }
  const { attended, keys, values } = selfAttention(block, x)
  const h = keep(block, add(tape, x, attended))
  const y = add(tape, h, feedForward(block, h))
  const gradients = tape.gradients(y, graph.input('outputGradient'))
  const { weights, scales } = block.inputs
  return {
    graph,
    y,
    keys,
    values,
    kept: block.kept,
    inputGradient: gradients.of(x),
    tensorGradients: mapValues(weights, (weight) => gradients.of(weight)),
    scaleGradients: mapValues(scales, (vector) => gradients.of(vector)),
  }
}

interface BlockInputs {
  readonly weights: Readonly<Partial<Record<BlockTensorRole, Value>>>
  readonly scales: Readonly<Partial<Record<ScaleTarget, Value>>>
  readonly standing: Readonly<Partial<Record<ScaleTarget, Value>>>
  readonly entries: Readonly<Partial<Record<BlockTensorRole, NonNullable<Matrix['entries']>>>>
}

interface BlockBuild {
  readonly tape: Tape
  readonly config: ModelConfig
  readonly features: BlockFeatures
  readonly inputs: BlockInputs
  readonly kept: Value[]
}

function declareInputs(graph: Graph, config: ModelConfig, { scales, standing, masked }: BlockFeatures): BlockInputs {
  const roles = Object.keys(blockShapes(config)) as BlockTensorRole[]
  return {
    weights: fromKeys(roles, (role) => graph.input(role)),
    scales: fromKeys(scales, (target) => graph.input(`scale.${target}`)),
    standing: fromKeys(standing, (target) => graph.input(`standing.${target}`)),
    entries: fromKeys(masked, (role) => ({
      rows: graph.input(`${role}.rows`, 'int32'),
      columns: graph.input(`${role}.columns`, 'int32'),
    })),
  }
}

function selfAttention(block: BlockBuild, x: Value): { attended: Value; keys: Value; values: Value } {
  const { tape, config, features } = block
  const { headCount, kvHeadCount, headSize } = config
  const normed = rmsNorm(tape, x, weight(block, 'attentionNorm'), config.rmsNormEpsilon)
  const turned = (value: Value) => rotate(tape, value, angles(block))
  const keys = turned(headNorm(block, scaled(block, project(block, normed, 'key'), 'key'), 'keyNorm', kvHeadCount))
  const query = turned(headNorm(block, project(block, normed, 'query'), 'queryNorm', headCount))
  const values = scaled(block, project(block, normed, 'value'), 'value')
  const apart = (rows: Value, heads: number) => keep(block, splitHeads(block, rows, heads))
  const withPast = (name: string, rows: Value) =>
    features.past ? appendRows(tape, splitHeads(block, tape.graph.input(name), kvHeadCount), rows) : rows
  const inputs = {
    query: groupHeads(block, apart(query, headCount)),
    key: withPast('pastKeys', apart(keys, kvHeadCount)),
    value: withPast('pastValues', apart(values, kvHeadCount)),
    mask: tape.graph.input('mask'),
  }
  const heads = ungroupHeads(block, keep(block, attention(tape, inputs, config)))
  const joined = reshape(tape, swapMiddle(tape, heads), [0, 0, headCount * headSize], [0, 0, headCount, headSize])
  return { attended: linear(tape, joined, matrix(block, 'output')), keys, values }
}

/** (silu(x gateᵀ) ⊙ x upᵀ) downᵀ */
function feedForward(block: BlockBuild, h: Value): Value {
  const { tape, config } = block
  const normed = rmsNorm(tape, h, weight(block, 'feedForwardNorm'), config.rmsNormEpsilon)
  const gate = keep(block, linear(tape, normed, matrix(block, 'gate')))
  const up = keep(block, linear(tape, normed, matrix(block, 'up')))
  return linear(tape, scaled(block, swishGate(tape, gate, up), 'feedForward'), matrix(block, 'down'))
}

/** x Wᵀ, plus the bias if the architecture has one. */
function project(block: BlockBuild, x: Value, role: 'query' | 'key' | 'value'): Value {
  const bias = block.inputs.weights[`${role}Bias`]
  const product = linear(block.tape, x, matrix(block, role))
  if (isNeededBackward(block, role)) keep(block, product)
  return bias === undefined ? product : addBias(block.tape, product, bias)
}

/** What comes of a projection is kept for attention; the projection itself only where a gradient looks at it too. */
function isNeededBackward({ inputs, features }: BlockBuild, role: 'query' | 'key' | 'value'): boolean {
  if (role === 'value') return features.scales.includes('value')
  return inputs.weights[`${role}Norm`] !== undefined || (role === 'key' && features.scales.includes('key'))
}

/** Qwen3: each head's features are RMS-normed by themselves. */
function headNorm(block: BlockBuild, x: Value, role: 'queryNorm' | 'keyNorm', heads: number): Value {
  const { tape, config } = block
  const gain = block.inputs.weights[role]
  if (gain === undefined) return x
  const [apart, joined] = [
    [0, 0, heads, config.headSize],
    [0, 0, heads * config.headSize],
  ] as const
  const normed = rmsNorm(tape, reshape(tape, x, apart, joined), gain, config.rmsNormEpsilon)
  return reshape(tape, normed, joined, apart)
}

/** (IA)³: keys and values as projected, before any norm and rotation; the input of the down projection. */
function scaled(block: BlockBuild, x: Value, target: ScaleTarget): Value {
  const { standing, scales } = block.inputs
  const times = (value: Value, vector: Value | undefined) => (vector ? scale(block.tape, value, vector) : value)
  return times(times(x, standing[target]), scales[target])
}

/** (batch, tokens, heads * headSize) -> (batch, heads, tokens, headSize) */
function splitHeads({ tape, config: { headSize } }: BlockBuild, x: Value, heads: number): Value {
  return swapMiddle(tape, reshape(tape, x, [0, 0, heads, headSize], [0, 0, heads * headSize]))
}

/** (batch, heads, tokens, headSize) -> (batch, kvHeads, group * tokens, headSize) */
function groupHeads({ tape, config: { headCount, kvHeadCount, headSize } }: BlockBuild, x: Value): Value {
  return reshape(tape, x, [0, kvHeadCount, -1, headSize], [0, headCount, -1, headSize])
}

function ungroupHeads({ tape, config: { headCount, kvHeadCount, headSize } }: BlockBuild, x: Value): Value {
  return reshape(tape, x, [0, headCount, -1, headSize], [0, kvHeadCount, -1, headSize])
}

function angles({ tape: { graph }, config }: BlockBuild) {
  return { cos: graph.input('cos'), sin: graph.input('sin'), interleaved: config.ropeStyle === 'interleaved' }
}

function keep({ kept }: BlockBuild, value: Value): Value {
  kept.push(value)
  return value
}

function weight({ inputs }: BlockBuild, role: BlockTensorRole): Value {
  return inputs.weights[role] as Value // declared for every role the architecture has
}

function matrix({ inputs }: BlockBuild, role: BlockTensorRole): Matrix {
  const entries = inputs.entries[role]
  return { value: inputs.weights[role] as Value, ...(entries && { entries }) }
}

function fromKeys<K extends string, T>(keys: readonly K[], make: (key: K) => T): Readonly<Partial<Record<K, T>>> {
  return Object.fromEntries(keys.map((key) => [key, make(key)])) as Partial<Record<K, T>>
}

function mapValues<K extends string>(values: Readonly<Partial<Record<K, Value>>>, map: (value: Value) => Value) {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(value as Value)])) as Record<
    K,
    Value
  >
}
