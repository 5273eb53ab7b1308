/** What is trained, in the words of the training engine, and how large it is. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { TrainingMethod } from '#contracts/patch-file/header.ts'
import { type ScaleTarget, scaleTargets } from '#contracts/patch-file/patch.ts'
import { elementCount, expectedTensors } from '../models/expected-tensors.ts'
import type { TrainedParameter } from '../ports/engine.ts'
import type { MaskTensor } from './mask.ts'

/** In the order of the forward pass. `mask` is null for methods that have none: (IA)³ trains all scales, `full` all tensors. */
export function parametersOf(
  method: TrainingMethod,
  config: ModelConfig,
  mask: readonly MaskTensor[] | null,
): TrainedParameter[] {
  if (method === 'ia3') return allScales(config)
  if (mask !== null) return mask.map(parameterOf)
  return expectedTensors(config).map(({ name }) => ({ kind: 'tensor', name }))
}

export function scaleLength({ kvHeadCount, headSize, intermediateSize }: ModelConfig, target: ScaleTarget): number {
  return target === 'feedForward' ? intermediateSize : kvHeadCount * headSize
}

/** A mask that has all of a tensor is trained as a tensor: the sparse product pays only while it is sparse. */
function parameterOf({ tensor, shape, indices }: MaskTensor): TrainedParameter {
  if (indices.length === elementCount(shape)) return { kind: 'tensor', name: tensor }
  return { kind: 'entries', name: tensor, indices }
}

function allScales({ blockCount }: ModelConfig): TrainedParameter[] {
  const blocks = Array.from({ length: blockCount }, (_, block) => block)
  return blocks.flatMap((block) => scaleTargets.map((target) => ({ kind: 'scale', block, target }) as const))
}
