/** Which part of a model a canonical tensor name means: patches and gradients name tensors, engines hold blocks and ends. */
import { type BlockTensorRole, type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { PatchMismatchError } from '#core/errors.ts'
import { blockShapes } from '#core/numerics/block.ts'
import type { ScaleTarget } from '#core/ports/engine.ts'

export type EndTensorRole = 'embedding' | 'finalNorm' | 'head'

export type TensorTarget =
  | {
      readonly kind: 'block'
      readonly block: number
      readonly role: BlockTensorRole
      readonly shape: readonly number[]
    }
  | { readonly kind: 'end'; readonly role: EndTensorRole; readonly shape: readonly number[] }

/** Throws `PatchMismatchError` for a name that no tensor of the model has; a tied head has none of its own. */
export function locateTensor(config: ModelConfig, name: string): TensorTarget {
  const target = locateInBlock(config, name) ?? locateInEnds(config, name)
  if (target === undefined) throw new PatchMismatchError(name, 'the model has no such tensor')
  return target
}

function locateInBlock(config: ModelConfig, name: string): TensorTarget | undefined {
  const block = Number(/^model\.layers\.(\d{1,4})\./.exec(name)?.[1])
  if (!(block < config.blockCount)) return undefined
  const names = tensorNames.block(block)
  for (const [key, shape] of Object.entries(blockShapes(config))) {
    const role = key as BlockTensorRole
    if (names[role] === name) return { kind: 'block', block, role, shape }
  }
  return undefined
}

function locateInEnds({ vocabularySize, hiddenSize, tiedHead }: ModelConfig, name: string): TensorTarget | undefined {
  const table = [vocabularySize, hiddenSize]
  if (name === tensorNames.embedding) return { kind: 'end', role: 'embedding', shape: table }
  if (name === tensorNames.finalNorm) return { kind: 'end', role: 'finalNorm', shape: [hiddenSize] }
  if (name === tensorNames.head && !tiedHead) return { kind: 'end', role: 'head', shape: table }
  return undefined
}

/** How many numbers an (IA)³ vector has. Throws `PatchMismatchError` for a block the model does not have. */
export function scaleSize(config: ModelConfig, block: number, target: ScaleTarget): number {
  if (!Number.isInteger(block) || block < 0 || block >= config.blockCount) {
    throw new PatchMismatchError(`block ${block}`, `the model has ${config.blockCount}`)
  }
  return target === 'feedForward' ? config.intermediateSize : config.kvHeadCount * config.headSize
}
