/** A block's vectors in the kernels' memory: norms' gains and biases, small and always float32. */
import type { BlockTensorRole } from '#contracts/model/manifest.ts'
import { tensorNames } from '#contracts/model/manifest.ts'
import { blockShapes } from '#core/numerics/block.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import type { Workspace } from '../kernels/workspace.ts'
import { decodeWeights, readStored } from '../shared/read-weights.ts'

export const vectorRoles = [
  'attentionNorm',
  'feedForwardNorm',
  'queryBias',
  'keyBias',
  'valueBias',
  'queryNorm',
  'keyNorm',
] as const satisfies readonly BlockTensorRole[]
export type VectorRole = (typeof vectorRoles)[number]

export interface Vector {
  readonly pointer: number
  readonly length: number
}

/** Those that the architecture has. */
export type BlockVectors = Readonly<Partial<Record<VectorRole, Vector>>>

export async function loadBlockVectors(
  workspace: Workspace,
  model: ModelHandle,
  index: number,
  options: { signal?: AbortSignal },
): Promise<BlockVectors> {
  const names = tensorNames.block(index)
  const shapes = blockShapes(model.manifest.config)
  const vectors: Partial<Record<VectorRole, Vector>> = {}
  for (const role of vectorRoles) {
    const shape = shapes[role]
    if (!shape) continue
    const stored = await readStored(model, names[role], shape, options)
    vectors[role] = placeVector(workspace, decodeWeights(stored))
  }
  return vectors
}

export function placeVector(workspace: Workspace, values: Float32Array): Vector {
  const pointer = workspace.allocate(values.byteLength)
  workspace.floats(pointer, values.length).set(values)
  return { pointer, length: values.length }
}

export function vectorBytes(vectors: BlockVectors): number {
  return Object.values(vectors).reduce((sum, { length }) => sum + length * Float32Array.BYTES_PER_ELEMENT, 0)
}
