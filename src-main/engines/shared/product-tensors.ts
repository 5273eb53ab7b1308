/** Which stored tensors make up the matrices that a backend multiplies with. */
import { type BlockTensorRole, tensorNames } from '#contracts/model/manifest.ts'
import { blockShapes } from '#core/numerics/block.ts'
import type { ModelHandle, StoredTensor } from '#core/ports/model-store.ts'
import type { BlockProduct } from './linear-backend.ts'
import { readStored } from './read-weights.ts'

type ReadOptions = { readonly signal?: AbortSignal }

/** A product's matrix is these tensors' rows, one tensor after the other. */
export const productRoles: Readonly<Record<BlockProduct, readonly BlockTensorRole[]>> = {
  queryKeyValue: ['query', 'key', 'value'],
  output: ['output'],
  gateUp: ['gate', 'up'],
  down: ['down'],
}

/** Tensors of block `index`, one at a time, in the order of `roles`. */
export async function* readRoles(
  model: ModelHandle,
  index: number,
  roles: readonly BlockTensorRole[],
  options: ReadOptions,
): AsyncGenerator<StoredTensor> {
  const names = tensorNames.block(index)
  const shapes = blockShapes(model.manifest.config)
  for (const role of roles) yield await readStored(model, names[role], shapes[role] ?? [], options)
}

/** (vocabulary, hidden): the head, or the embedding when the model ties them. */
export function readHeadMatrix(model: ModelHandle, options: ReadOptions): Promise<StoredTensor> {
  const { tiedHead, vocabularySize, hiddenSize } = model.manifest.config
  const name = tiedHead ? tensorNames.embedding : tensorNames.head
  return readStored(model, name, [vocabularySize, hiddenSize], options)
}
