/** Models, tokens and patches for the engine suite: small, and the same in every run. */
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import type { ModelActivations } from '#core/numerics/model.ts'
import type { ActivationScale, LowRankDelta, PatchWeights, SpanSession, SparseDelta } from '#core/ports/engine.ts'
import { scaleTargets } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { createRandom, tinyRelatives } from '#test/fakes/model-handle.ts'

/** Every way in which one model differs from another. */
export const shapes: Readonly<Record<string, Partial<ModelConfig>>> = {
  'grouped heads': {},
  'one kv head': { kvHeadCount: 1 },
  'as many kv heads as heads': { kvHeadCount: 4 },
  'interleaved rope': { ropeStyle: 'interleaved' },
  'a tied head': { tiedHead: true },
  'small heads': { headSize: 8 },
  'small heads with interleaved rope': { headSize: 8, ropeStyle: 'interleaved' },
  'heads of an odd size': { headSize: 22, headCount: 3, kvHeadCount: 1 },
  'heads of an odd size with interleaved rope': { headSize: 6, ropeStyle: 'interleaved' },
  ...Object.fromEntries(Object.entries(tinyRelatives).map(([name, changes]) => [`the shape of ${name}`, changes])),
  'biases and interleaved rope': { attentionBias: true, ropeStyle: 'interleaved' },
  'query and key norms, biases and a window': { queryKeyNorm: true, attentionBias: true, slidingWindow: 3 },
  'a window of one position': { slidingWindow: 1 },
}

export const someTokens = [3, 17, 39, 0, 5, 5, 21, 8, 30] as const

export function manyTokens(count: number): number[] {
  const random = createRandom(99)
  return Array.from({ length: count }, () => Math.floor((random() + 1) * 20))
}

/** Numbers in [-1, 1). */
export function randomFloats(length: number, seed: number): Float32Array<ArrayBuffer> {
  const random = createRandom(seed)
  return Float32Array.from({ length }, random)
}

/** What the first block is given. */
export function inputOf(activations: ModelActivations | undefined): Float32Array<ArrayBuffer> {
  return Float32Array.from(activations?.hidden[0] ?? [])
}

/** What the last block gives. */
export function outputOf(activations: ModelActivations | undefined): Float64Array {
  return activations?.hidden.at(-1) ?? new Float64Array()
}

export function withConfig<T extends ModelHandle>(model: T, config: ModelConfig): T {
  return { ...model, manifest: { ...model.manifest, config } }
}

/** Runs `hidden` in calls of so many tokens each; the outputs joined. */
export async function forwardInParts(
  session: SpanSession,
  hidden: Float32Array,
  tokensEach: readonly number[],
): Promise<Float32Array<ArrayBuffer>> {
  const rowLength = hidden.length / tokensEach.reduce((sum, tokens) => sum + tokens, 0)
  const output = new Float32Array(hidden.length)
  let start = 0
  for (const tokens of tokensEach) {
    const end = start + tokens * rowLength
    output.set(await session.forward(hidden.subarray(start, end)), start)
    start = end
  }
  return output
}

/** A change large enough to be seen in every result: about one entry in `every` of `tensor`, the first and last among them. */
export function randomDelta(config: ModelConfig, tensor: string, seed: number, every = 20): SparseDelta {
  const shape = expectedTensors(config).find(({ name }) => name === tensor)?.shape ?? []
  const size = shape.reduce((product, dimension) => product * dimension, 1)
  const random = createRandom(seed)
  const places = Array.from({ length: size }, (_, place) => place)
  const kept = places.filter((place) => place === 0 || place === size - 1 || random() < 2 / every - 1)
  return { tensor, indices: Uint32Array.from(kept), values: Float32Array.from(kept, () => random() / 2) }
}

/** Factors between 0.5 and 1.5. */
export function randomScale(config: ModelConfig, block: number, target: ActivationScale['target'], seed: number) {
  const size = target === 'feedForward' ? config.intermediateSize : config.kvHeadCount * config.headSize
  return { block, target, values: randomFloats(size, seed).map((value) => 1 + value / 2) }
}

/** Factors whose product changes every entry of `tensor`, a matrix. */
export function randomFactors(config: ModelConfig, tensor: string, rank: number, seed: number): LowRankDelta {
  const [rows = 0, columns = 0] = expectedTensors(config).find(({ name }) => name === tensor)?.shape ?? []
  const small = (length: number, from: number) => randomFloats(length, from).map((value) => value / 4)
  return { tensor, rank, left: small(rows * rank, seed), right: small(rank * columns, seed + 1) }
}

/** Changes every tensor of every block, half of the matrices by factors too, and every activation that can be scaled. */
export function randomPatch(config: ModelConfig, seed: number): PatchWeights {
  const inBlocks = expectedTensors(config).filter(({ name }) => !endNames.has(name))
  const blocks = Array.from({ length: config.blockCount }, (_, block) => block)
  return {
    deltas: inBlocks.map(({ name }, i) => randomDelta(config, name, seed + i)),
    scales: blocks.flatMap((block) => scaleTargets.map((target, i) => randomScale(config, block, target, seed + i))),
    factors: inBlocks
      .filter(({ shape }, i) => shape.length === 2 && (seed + i) % 2 === 0)
      .map(({ name }, i) => randomFactors(config, name, 1 + (i % 3), seed + i)),
  }
}

/** Changes the embedding, the final norm, and the head where it is one of its own. */
export function randomEndsPatch(config: ModelConfig, seed: number): PatchWeights {
  const inEnds = expectedTensors(config).filter(({ name }) => endNames.has(name))
  return { deltas: inEnds.map(({ name }, i) => randomDelta(config, name, seed + i)), scales: [] }
}

const endNames: ReadonlySet<string> = new Set([tensorNames.embedding, tensorNames.finalNorm, tensorNames.head])
