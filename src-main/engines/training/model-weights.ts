/** A model's tensors as float32: the one copy that is trained in place, and that every run is fed. */
import { type BlockTensorRole, tensorNames } from '#contracts/model/manifest.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { type ByBlockTensor, blockShapes } from '#core/numerics/block.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import type { PatchWeights } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { readStored } from '../shared/read-weights.ts'
import { addPatches } from './standing-patches.ts'

export interface ModelWeights {
  readonly bytes: number
  /** Throws `Error` for a name the configuration does not ask for. */
  tensor(name: string): Float32Array
  block(index: number): ByBlockTensor<Float32Array>
}

/** With the tensors' changes by `on`, which are checked already. */
export async function readModelWeights(
  model: ModelHandle,
  { on = [], ...options }: { readonly signal?: AbortSignal; readonly on?: readonly PatchWeights[] },
): Promise<ModelWeights> {
  const { config } = model.manifest
  const tensors = new Map<string, Float32Array>()
  for (const { name, shape } of expectedTensors(config)) {
    const { dtype, bytes } = await readStored(model, name, shape, options)
    const values = decodeFloats(dtype, bytes)
    addPatches(values, name, on)
    tensors.set(name, values)
  }
  const roles = Object.keys(blockShapes(config)) as BlockTensorRole[]
  const tensor = (name: string) => tensors.get(name) ?? absent(name)
  return {
    bytes: [...tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0),
    tensor,
    block(index) {
      const names = tensorNames.block(index)
      return Object.fromEntries(roles.map((role) => [role, tensor(names[role])])) as ByBlockTensor<Float32Array>
    },
  }
}

function absent(name: string): never {
  throw new Error(`tensor ${name} was not read`)
}
