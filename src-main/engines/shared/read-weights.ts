/**
 * From a model's files to float32 in memory, one tensor at a time. The store has checked the files; here each tensor is
 * checked against what the configuration asks for, since a kernel given a wrong shape would read the wrong numbers.
 */
import { type BlockTensorRole, tensorNames } from '#contracts/model/manifest.ts'
import { ModelFormatError } from '#core/errors.ts'
import { type BlockWeights, blockShapes } from '#core/numerics/block.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import type { ModelHandle, StoredTensor } from '#core/ports/model-store.ts'

type ReadOptions = { signal?: AbortSignal }

/** Reads one tensor as stored. Throws `ModelFormatError` when its shape is not `shape`. */
export async function readStored(
  model: ModelHandle,
  name: string,
  shape: readonly number[],
  options: ReadOptions,
): Promise<StoredTensor> {
  options.signal?.throwIfAborted()
  const tensor = await model.readTensor(name, options)
  if (tensor.shape.join() !== shape.join()) {
    throw new ModelFormatError(
      name,
      `shape is (${tensor.shape.join(', ')}), the configuration asks for (${shape.join(', ')})`,
    )
  }
  return tensor
}

/**
 * A tensor's numbers. Throws `ModelFormatError` for one that is not finite: rounded to integers it would become a wrong
 * weight without a word, and as a float it would turn every answer into nothing.
 */
export function decodeWeights({ name, dtype, bytes }: Pick<StoredTensor, 'name' | 'dtype' | 'bytes'>, first = 0) {
  const values = decodeFloats(dtype, bytes)
  checkFinite(values, (at, value) => new ModelFormatError(name, `element ${first + at} is ${value}`))
  return values
}

/** Throws what `complaint` makes of the first of `values` that is not finite. */
export function checkFinite(
  values: Float32Array | Float16Array,
  complaint: (at: number, value: number) => Error,
): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number
    if (!Number.isFinite(value)) throw complaint(i, value)
  }
}

/** The tensors of block `index` as stored, by role, one after the other; of the optional ones, those the config has. */
export async function* readBlockTensors(
  model: ModelHandle,
  index: number,
  options: ReadOptions,
): AsyncGenerator<readonly [BlockTensorRole, StoredTensor]> {
  const names = tensorNames.block(index)
  for (const [key, shape] of Object.entries(blockShapes(model.manifest.config))) {
    const role = key as BlockTensorRole
    yield [role, await readStored(model, names[role], shape, options)]
  }
}

/** The tensors of block `index` as float32. */
export async function readBlockWeights(model: ModelHandle, index: number, options: ReadOptions): Promise<BlockWeights> {
  const weights: Partial<Record<BlockTensorRole, Float32Array>> = {}
  for await (const [role, tensor] of readBlockTensors(model, index, options)) {
    weights[role] = decodeWeights(tensor)
  }
  return weights as BlockWeights
}

/** What a client keeps, as stored; `head` is the embedding itself when the model ties them. */
export interface StoredEnds {
  readonly embedding: StoredTensor // (vocabulary, hidden)
  readonly finalNorm: StoredTensor // (hidden,)
  readonly head: StoredTensor // (vocabulary, hidden)
}

export async function readStoredEnds(model: ModelHandle, options: ReadOptions): Promise<StoredEnds> {
  const { vocabularySize, hiddenSize, tiedHead } = model.manifest.config
  const embedding = await readStored(model, tensorNames.embedding, [vocabularySize, hiddenSize], options)
  const finalNorm = await readStored(model, tensorNames.finalNorm, [hiddenSize], options)
  const head = tiedHead ? embedding : await readStored(model, tensorNames.head, [vocabularySize, hiddenSize], options)
  return { embedding, finalNorm, head }
}
