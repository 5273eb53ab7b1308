/** Models, examples and masks for the training suite, and what its oracle says. */
import { type BlockTensorRole, type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { tensorGradient } from '#core/numerics/block-backward.ts'
import type { BlockScales } from '#core/numerics/block-backward-trace.ts'
import type { Floats } from '#core/numerics/floats.ts'
import type { ModelWeights } from '#core/numerics/model.ts'
import { lossGradients, type ModelGradients } from '#core/numerics/model-backward.ts'
import { scaleTargets, type TrainedParameter } from '#core/ports/engine.ts'
import type { OptimizerStep, Trainee, TraineeInit, TrainingExample } from '#core/ports/training-engine.ts'
import { createRandom, tinyConfig } from '#test/fakes/model-handle.ts'

export const shapes: Record<string, Partial<ModelConfig>> = {
  'grouped heads': {},
  'one kv head': { kvHeadCount: 1 },
  'as many kv heads as heads': { kvHeadCount: 4 },
  'interleaved rope': { ropeStyle: 'interleaved' },
  'a tied head': { tiedHead: true },
  'heads of an odd size': { headSize: 22, headCount: 3, kvHeadCount: 1 },
  'tiny heads with interleaved rope': { headSize: 6, ropeStyle: 'interleaved' },
  'a sliding window': { architecture: 'mistral', slidingWindow: 3 },
  'biases on queries, keys and values': { architecture: 'qwen2', attentionBias: true },
  'normed queries and keys': { architecture: 'qwen3', queryKeyNorm: true },
  'scaled rope': { ropeScaling: { kind: 'linear', factor: 4 } },
  'rope scaled as in Llama 3.1': {
    ropeScaling: {
      kind: 'llama3',
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContextLength: 64,
    },
  },
}

export const adam: OptimizerStep = {
  kind: 'adamw',
  learningRate: 1e-2,
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-8,
  weightDecay: 0.1,
}

/** Two blocks, small enough for the oracle to be quick. */
export function smallConfig(changes: Partial<ModelConfig>): ModelConfig {
  return tinyConfig({ hiddenSize: 16, intermediateSize: 32, blockCount: 2, ...changes })
}

export function tensor(name: string) {
  return { kind: 'tensor', name } as const
}

export function entries(name: string, indices: Iterable<number>) {
  return { kind: 'entries', name, indices: Uint32Array.from(indices) } as const
}

export function scaleOf(block: number) {
  return { kind: 'scale', block, target: 'feedForward' } as const
}

export function allScales({ blockCount }: ModelConfig): TrainedParameter[] {
  const blocks = Array.from({ length: blockCount }, (_, block) => block)
  return blocks.flatMap((block) => scaleTargets.map((target) => ({ kind: 'scale', block, target }) as const))
}

/** Every tensor and every scale. */
export function everything(config: ModelConfig): TrainedParameter[] {
  return [...expectedTensors(config).map(({ name }) => tensor(name)), ...allScales(config)]
}

export function everyFew(length: number, step: number): number[] {
  return Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step)
}

export function someTokens(length: number, seed: number): number[] {
  const random = createRandom(seed)
  return Array.from({ length }, () => Math.floor(20 * (random() + 1)))
}

export const firstExample: TrainingExample = { tokens: someTokens(10, 1) }
export const ragged: readonly TrainingExample[] = [
  { tokens: someTokens(3, 2) },
  firstExample,
  { tokens: someTokens(2, 3) },
  { tokens: someTokens(7, 4), targetWeights: Float32Array.of(1, 0, 2, 1, 0, 0.5) },
]

/** One after the other: calls do not overlap. */
export async function allValues(trainee: Trainee): Promise<Float32Array[]> {
  const values: Float32Array[] = []
  for (const index of trainee.parameters.keys()) values.push(await trainee.values(index))
  return values
}

export function scalesOf(
  parameters: readonly TrainedParameter[],
  values: readonly Float32Array[],
  block: number,
): BlockScales {
  const found = parameters.flatMap((parameter, i) =>
    parameter.kind === 'scale' && parameter.block === block ? [[parameter.target, values[i]]] : [],
  )
  return Object.fromEntries(found)
}

export function expectedGradient(gradients: ModelGradients, parameter: TrainedParameter): Float64Array {
  if (parameter.kind === 'scale')
    return gradients.blocks[parameter.block]?.scales[parameter.target] ?? new Float64Array()
  const ends: Record<string, Float64Array | null> = {
    [tensorNames.embedding]: gradients.embedding,
    [tensorNames.finalNorm]: gradients.finalNorm,
    [tensorNames.head]: gradients.head,
  }
  const [block, role] = placeOf(parameter.name, gradients.blocks.length)
  const own = gradients.blocks[block]
  return ends[parameter.name] ?? (own && tensorGradient(own, role)) ?? new Float64Array()
}

export function placeOf(name: string, blockCount: number): readonly [number, BlockTensorRole] {
  for (let block = 0; block < blockCount; block++) {
    const found = Object.entries(tensorNames.block(block)).find(([, other]) => other === name)
    if (found) return [block, found[0] as BlockTensorRole]
  }
  return [-1, 'query']
}

/** The weights in float64, the head being the embedding itself when they are tied. */
export function inFloat64(
  { embedding, blocks, finalNorm, head }: ModelWeights,
  { tiedHead }: ModelConfig,
): ModelWeights {
  const table = Float64Array.from(embedding)
  return {
    embedding: table,
    blocks: blocks.map(
      (block) =>
        Object.fromEntries(Object.entries(block).map(([role, w]) => [role, Float64Array.from(w)])) as typeof block,
    ),
    finalNorm: Float64Array.from(finalNorm),
    head: tiedHead ? table : Float64Array.from(head),
  }
}

export function tensorOf(weights: ModelWeights, parameter: TrainedParameter): Floats {
  const name = parameter.kind === 'scale' ? '' : parameter.name
  if (name === tensorNames.embedding) return weights.embedding
  if (name === tensorNames.finalNorm) return weights.finalNorm
  if (name === tensorNames.head) return weights.head
  const [block, role] = placeOf(name, weights.blocks.length)
  return weights.blocks[block]?.[role] ?? new Float64Array()
}

/** A random direction of length 1. */
export function randomDirection(length: number, seed: number): Float64Array {
  const random = createRandom(seed)
  const direction = Float64Array.from({ length }, random)
  const norm = Math.hypot(...direction)
  return direction.map((value) => value / norm)
}

/** (L(θ + εd) - L(θ - εd)) / 2ε, changing `values` in place and back. */
export function centralDifference(
  weights: ModelWeights,
  config: ModelConfig,
  values: Floats,
  direction: Float64Array,
): number {
  const epsilon = 1e-5
  const base = Float64Array.from(values)
  const lossAt = (distance: number) => {
    for (const [i, value] of base.entries()) values[i] = value + distance * (direction[i] as number)
    return lossGradients(firstExample.tokens, weights, config, {}).lossSum
  }
  const difference = (lossAt(epsilon) - lossAt(-epsilon)) / (2 * epsilon)
  values.set(base)
  return difference
}

export function sumOf(arrays: readonly ArrayLike<number>[]): Float64Array {
  return Float64Array.from({ length: arrays[0]?.length ?? 0 }, (_, i) =>
    arrays.reduce((sum, values) => sum + (values[i] as number), 0),
  )
}

export function copyOf<T extends { readonly gradients: readonly Float32Array[] }>(result: T): T {
  return { ...result, gradients: result.gradients.map((gradient) => gradient.slice()) }
}

/** What a part of the suite needs of it. */
export interface TrainingUnderTest {
  /** A random model's trainee, disposed of after the test. */
  load(
    config: ModelConfig,
    parameters: readonly TrainedParameter[],
    init?: Partial<Pick<TraineeInit, 'on' | 'threads'>>,
  ): Promise<Trainee>
  expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void
  readonly tolerance: number
}
