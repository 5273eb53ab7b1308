/**
 * The tensors that a Llama of a given shape consists of, under their canonical names: what an importer must find, and
 * what a span or a client loads. All matrices are (out, in).
 */
import { type BlockTensorRole, type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { blockShapes } from '../numerics/block.ts'

export interface TensorShape {
  readonly name: string
  readonly shape: readonly number[]
}

/** Everything, in the order of the forward pass. */
export function expectedTensors(config: ModelConfig): TensorShape[] {
  const blocks = Array.from({ length: config.blockCount }, (_, index) => blockTensors(config, index)).flat()
  const [embedding, ...ends] = endTensors(config)
  return [...(embedding === undefined ? [] : [embedding]), ...blocks, ...ends]
}

/** The tensors of one block: nine, and those that a relative of Llama adds. */
export function blockTensors(config: ModelConfig, index: number): TensorShape[] {
  const names = tensorNames.block(index)
  return Object.entries(blockShapes(config)).map(([role, shape]) => ({ name: names[role as BlockTensorRole], shape }))
}

/** What stays with the client: embedding, final norm, and the head unless it is the embedding again. */
export function endTensors(config: ModelConfig): TensorShape[] {
  const table = [config.vocabularySize, config.hiddenSize]
  const head = config.tiedHead ? [] : [{ name: tensorNames.head, shape: table }]
  return [
    { name: tensorNames.embedding, shape: table },
    { name: tensorNames.finalNorm, shape: [config.hiddenSize] },
    ...head,
  ]
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1)
}
