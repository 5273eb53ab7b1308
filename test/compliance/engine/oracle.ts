/** What engines are compared with: `core/numerics` in float64 on the same weights, with patches merged into them. */
import { type BlockTensorRole, type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { type Span, spanLength } from '#contracts/span.ts'
import { type BlockWeights, blockShapes } from '#core/numerics/block.ts'
import { type BlockGradients, blockBackward } from '#core/numerics/block-backward.ts'
import { type BlockScales, type BlockTrace, traceBlock } from '#core/numerics/block-backward-trace.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import type { Floats } from '#core/numerics/floats.ts'
import { createKeyValueCache, type KeyValueCache } from '#core/numerics/key-value-cache.ts'
import { type ModelActivations, type ModelWeights, modelForward } from '#core/numerics/model.ts'
import type { LowRankDelta, PatchWeights } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'

export interface FloatTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly values: Float32Array
}
export type RoundTensor = (tensor: FloatTensor) => Float32Array

export interface OracleOptions {
  /** Merged into the weights: deltas and factors' products added, scales multiplied into what they scale. */
  readonly patches?: readonly PatchWeights[]
  readonly round?: RoundTensor
}

/** The answer for `tokens` from the start of a sequence. */
export async function oracle(
  model: ModelHandle,
  tokens: readonly number[],
  options: OracleOptions = {},
): Promise<ModelActivations> {
  return modelForward(tokens, await oracleWeights(model, options), model.manifest.config)
}

export async function oracleWeights(
  model: ModelHandle,
  { patches = [], round = ({ values }) => values }: OracleOptions = {},
): Promise<ModelWeights> {
  const { config } = model.manifest
  const read = async (name: string, as = name): Promise<Floats> => {
    const { dtype, shape, bytes } = await model.readTensor(name)
    return addChanges(round({ name: as, shape, values: decodeFloats(dtype, bytes) }), patches, name)
  }
  const blocks: BlockWeights[] = []
  for (let index = 0; index < config.blockCount; index++) {
    const names = tensorNames.block(index)
    const block: Partial<Record<BlockTensorRole, Floats>> = {}
    for (const role of Object.keys(blockShapes(config)) as BlockTensorRole[]) block[role] = await read(names[role])
    blocks.push(mergeScales(block as BlockWeights, patches, index))
  }
  return {
    embedding: await read(tensorNames.embedding),
    blocks,
    finalNorm: await read(tensorNames.finalNorm),
    head: await read(config.tiedHead ? tensorNames.embedding : tensorNames.head, tensorNames.head),
  }
}

function addChanges(base: Floats, patches: readonly PatchWeights[], name: string): Float64Array {
  const sum = Float64Array.from(base)
  for (const { tensor, indices, values } of patches.flatMap(({ deltas }) => deltas)) {
    if (tensor !== name) continue
    for (const [k, index] of indices.entries()) sum[index] = (sum[index] as number) + (values[k] as number)
  }
  for (const factors of patches.flatMap((patch) => patch.factors ?? [])) {
    if (factors.tensor === name) addProduct(sum, factors)
  }
  return sum
}

/** W += left right. `sum`: (out, in) */
function addProduct(sum: Float64Array, { rank, left, right }: LowRankDelta): void {
  const columns = right.length / rank
  for (const place of sum.keys()) {
    const [row, column] = [Math.floor(place / columns), place % columns]
    for (let r = 0; r < rank; r++) {
      sum[place] = (sum[place] as number) + (left[row * rank + r] as number) * (right[r * columns + column] as number)
    }
  }
}

/** Scaling what a projection gives is scaling its rows and its bias. */
function mergeScales(block: BlockWeights, patches: readonly PatchWeights[], index: number): BlockWeights {
  const merged: Partial<Record<BlockTensorRole, Floats>> = { ...block }
  const scaled = { key: ['key', 'keyBias'], value: ['value', 'valueBias'], feedForward: ['up'] } as const
  for (const scale of patches.flatMap(({ scales }) => scales)) {
    if (scale.block !== index) continue
    for (const role of scaled[scale.target]) {
      const weight = merged[role]
      const columns = (weight?.length ?? 0) / scale.values.length
      if (!weight) continue
      merged[role] = Float64Array.from(weight, (x, i) => x * (scale.values[Math.floor(i / columns)] as number))
    }
  }
  return merged as BlockWeights
}

export interface OracleBackward {
  readonly input: Float64Array
  /** Of the span's blocks in order. */
  readonly blocks: readonly BlockGradients[]
}

export interface OracleBackwardRequest {
  readonly span: Span
  readonly hidden: Floats
  readonly outputGradient: Floats
  /** (tokens, hiddenSize): the span's input at earlier positions, run with `pastPatches`; their keys and values are constants. */
  readonly past?: Floats
  readonly pastPatches?: readonly PatchWeights[]
}

/** Gradients through a span; (IA)³ vectors stay apart here, since their own gradients are among the answers. */
export async function oracleBackward(
  model: ModelHandle,
  { span, hidden, outputGradient, past, pastPatches = [] }: OracleBackwardRequest,
  { patches = [], round }: OracleOptions = {},
): Promise<OracleBackward> {
  const { config } = model.manifest
  const rounding = round ? { round } : {}
  const { blocks } = await oracleWeights(model, { patches: patches.map(withoutScales), ...rounding })
  const before = await oracleWeights(model, { patches: pastPatches, ...rounding })
  const patched = blocks.slice(span.start, span.end).map((weights, i) => ({
    weights,
    scales: scalesOf(patches, span.start + i),
  }))
  const pasts = past
    ? pastCaches(past, before.blocks.slice(span.start, span.end), config)
    : Array.from({ length: spanLength(span) }, createKeyValueCache)
  const traces: BlockTrace[] = []
  let x = hidden
  for (const [i, block] of patched.entries()) {
    traces.push(traceBlock(x, block, pasts[i] as KeyValueCache, config))
    x = traces[i]?.output ?? x
  }
  const gradients: BlockGradients[] = []
  let gradient = outputGradient
  for (const [i, trace] of [...traces.entries()].reverse()) {
    const block = blockBackward(gradient, trace, patched[i] as (typeof patched)[number], config)
    gradients.unshift(block)
    gradient = block.input
  }
  return { input: Float64Array.from(gradient), blocks: gradients }
}

export function withoutScales(patch: PatchWeights): PatchWeights {
  return { ...patch, scales: [] }
}

function pastCaches(hidden: Floats, blocks: readonly BlockWeights[], config: ModelConfig): KeyValueCache[] {
  let x = hidden
  return blocks.map((weights) => {
    const trace = traceBlock(x, { weights, scales: {} }, createKeyValueCache(), config)
    x = trace.output
    return trace.attention.cache
  })
}

export function scalesOf(patches: readonly PatchWeights[], block: number): BlockScales {
  const scales: Partial<Record<keyof BlockScales, Float64Array>> = {}
  for (const { target, values } of patches.flatMap((patch) => patch.scales).filter((scale) => scale.block === block)) {
    const before = scales[target]
    scales[target] = Float64Array.from(values, (value, i) => value * (before?.[i] ?? 1))
  }
  return scales
}
