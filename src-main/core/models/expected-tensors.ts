/**
 * The tensors that a Llama of a given shape consists of, under their canonical names: what an importer must find, and
 * what a span or a client loads. All matrices are (out, in).
 */
import { type BlockTensorNames, type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { blockShapes } from '../numerics/block.ts'

/** In the order of the forward pass. */
const blockRoles = [
  'attentionNorm',
  'query',
  'key',
  'value',
  'output',
  'feedForwardNorm',
  'gate',
  'up',
  'down',
] as const satisfies readonly (keyof BlockTensorNames)[]

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

/** The nine tensors of one block. */
export function blockTensors(config: ModelConfig, index: number): TensorShape[] {
  const names = tensorNames.block(index)
  const shapes = blockShapes(config)
  return blockRoles.map((role) => ({ name: names[role], shape: shapes[role] }))
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
