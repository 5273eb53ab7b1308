/** What is to be trained, checked against the model: each parameter with the place it has in the computation. */
import { type BlockTensorRole, type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { PatchMismatchError } from '#core/errors.ts'
import { elementCount, expectedTensors } from '#core/models/expected-tensors.ts'
import type { TrainedParameter } from '#core/ports/engine.ts'
import { scaleLength } from './block-backward.ts'
import type { BlockParameter } from './block-parameters.ts'

/** What the ends of the model train: the embedding, the final norm, the head. */
export interface EndParameter {
  readonly name: string
  /** Row-major, ascending; the whole tensor when left out. */
  readonly indices?: Uint32Array
}

export type Place =
  | { readonly where: 'block'; readonly block: number; readonly parameter: BlockParameter }
  | { readonly where: 'end'; readonly parameter: EndParameter }

export interface PlacedParameter {
  readonly length: number
  readonly place: Place
}

/**
 * One for each parameter, in their order. Throws `PatchMismatchError` for tensors and blocks the model does not have,
 * indices that are outside, not ascending or repeated, and numbers that would be trained twice.
 */
export function placeParameters(config: ModelConfig, parameters: readonly TrainedParameter[]): PlacedParameter[] {
  const shapes = new Map(expectedTensors(config).map(({ name, shape }) => [name, shape]))
  const roles = blockRolesByName(config)
  const seen = new Set<string>()
  return parameters.map((parameter) => {
    const key = parameter.kind === 'scale' ? `block ${parameter.block}: scale of ${parameter.target}` : parameter.name
    if (seen.has(key)) throw new PatchMismatchError(key, 'trained twice')
    seen.add(key)
    if (parameter.kind === 'scale') return placeScale(config, parameter)
    const shape = shapes.get(parameter.name)
    if (shape === undefined) throw new PatchMismatchError(parameter.name, 'the model has no such tensor')
    const size = elementCount(shape)
    const indices = parameter.kind === 'entries' ? parameter.indices : undefined
    if (indices) checkIndices(parameter.name, indices, size)
    return { length: indices?.length ?? size, place: placeTensor(parameter.name, indices, roles.get(parameter.name)) }
  })
}

interface BlockRole {
  readonly block: number
  readonly role: BlockTensorRole
}

function blockRolesByName(config: ModelConfig): Map<string, BlockRole> {
  const roles = new Map<string, BlockRole>()
  for (let block = 0; block < config.blockCount; block++) {
    for (const [role, name] of Object.entries(tensorNames.block(block))) {
      roles.set(name, { block, role: role as BlockTensorRole })
    }
  }
  return roles
}

function placeTensor(name: string, indices: Uint32Array | undefined, role: BlockRole | undefined): Place {
  if (role === undefined) return { where: 'end', parameter: indices ? { name, indices } : { name } }
  const { block } = role
  return indices
    ? { where: 'block', block, parameter: { kind: 'entries', role: role.role, indices } }
    : { where: 'block', block, parameter: { kind: 'tensor', role: role.role } }
}

function placeScale(config: ModelConfig, { block, target }: Extract<TrainedParameter, { kind: 'scale' }>) {
  if (!Number.isInteger(block) || block < 0 || block >= config.blockCount) {
    throw new PatchMismatchError(`block ${block}`, `the model has ${config.blockCount} blocks`)
  }
  const parameter = { kind: 'scale', target } as const
  return { length: scaleLength(config, target), place: { where: 'block', block, parameter } as const }
}

function checkIndices(name: string, indices: Uint32Array, size: number): void {
  let previous = -1
  for (const index of indices) {
    if (index <= previous) throw new PatchMismatchError(name, `index ${index} after ${previous}: not ascending`)
    previous = index
  }
  if (previous >= size) throw new PatchMismatchError(name, `index ${previous} of a tensor of ${size} numbers`)
}
