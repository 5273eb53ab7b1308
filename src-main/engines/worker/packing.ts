/** What has arrays inside, taken apart for the wire and put together again. The two of a pair keep the same order. */
import type { PatchWeights, TrainedParameter } from '#core/ports/engine.ts'
import type { OptimizerState, TrainingExample } from '#core/ports/training-engine.ts'
import type { ArrayReader } from './array-reader.ts'
import type { WireArray } from './channel.ts'
import type { WireBatch, WireParameter, WirePatch } from './protocol.ts'

export function packPatch({ deltas, scales, factors = [] }: PatchWeights) {
  const content: WirePatch = {
    deltas: deltas.map(({ tensor }) => ({ tensor })),
    scales: scales.map(({ block, target }) => ({ block, target })),
    factors: factors.map(({ tensor, rank }) => ({ tensor, rank })),
  }
  const arrays: WireArray[] = [
    ...deltas.flatMap(({ indices, values }) => [indices, values]),
    ...scales.map(({ values }) => values),
    ...factors.flatMap(({ left, right }) => [left, right]),
  ]
  return { content, arrays }
}

export function unpackPatch({ deltas, scales, factors }: WirePatch, arrays: ArrayReader): PatchWeights {
  return {
    deltas: deltas.map(({ tensor }) => ({ tensor, indices: arrays.indices(), values: arrays.floats() })),
    scales: scales.map(({ block, target }) => ({ block, target, values: arrays.floats() })),
    factors: factors.map(({ tensor, rank }) => ({ tensor, rank, left: arrays.floats(), right: arrays.floats() })),
  }
}

export function packParameters(parameters: readonly TrainedParameter[]) {
  return {
    parameters: parameters.map((parameter): WireParameter => {
      if (parameter.kind !== 'entries') return { ...parameter }
      return { kind: 'entries', name: parameter.name }
    }),
    arrays: parameters.flatMap((parameter) => (parameter.kind === 'entries' ? [parameter.indices] : [])),
  }
}

export function unpackParameters(parameters: readonly WireParameter[], arrays: ArrayReader): TrainedParameter[] {
  return parameters.map((parameter) =>
    parameter.kind === 'entries' ? { ...parameter, indices: arrays.indices() } : parameter,
  )
}

export function packBatch(examples: readonly TrainingExample[]) {
  return {
    batch: examples.map(({ tokens, targets, targetWeights }) => ({
      tokens: [...tokens],
      ...(targets && { targets: [...targets] }),
      isWeighted: targetWeights !== undefined,
    })),
    arrays: examples.flatMap(({ targetWeights }) => targetWeights ?? []),
  }
}

export function unpackBatch(batch: WireBatch, arrays: ArrayReader): TrainingExample[] {
  return batch.map(({ isWeighted, ...example }) =>
    isWeighted ? { ...example, targetWeights: arrays.floats() } : example,
  )
}

export function packMoments({ moments }: OptimizerState): Float32Array[] {
  return moments.flatMap(({ first, second }) => [first, second])
}

/** Takes all arrays that are left. */
export function unpackMoments(arrays: ArrayReader): OptimizerState['moments'] {
  return Array.from({ length: arrays.remaining / 2 }, () => ({ first: arrays.floats(), second: arrays.floats() }))
}
