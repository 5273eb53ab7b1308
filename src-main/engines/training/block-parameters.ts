/** Which gradients of one block are wanted, in the words of its program; and back, what the program gave for each. */
import { Tensor } from 'onnxruntime-node'
import type { BlockTensorRole, ModelConfig } from '#contracts/model/manifest.ts'
import { blockShapes } from '#core/numerics/block.ts'
import type { ScaleTarget } from '#core/ports/engine.ts'
import type { BackwardGradients, WantedGradients } from './block-runner.ts'
import type { Feeds } from './program.ts'
import { entriesPerChunk } from './sampled-product.ts'

export type BlockParameter =
  | { readonly kind: 'tensor'; readonly role: BlockTensorRole }
  /** Row-major, ascending. */
  | { readonly kind: 'entries'; readonly role: BlockTensorRole; readonly indices: Uint32Array }
  | { readonly kind: 'scale'; readonly target: ScaleTarget }

export interface BlockParameterPlan {
  readonly wanted: Omit<WantedGradients, 'input'>
  /** The places of masks' entries. */
  readonly feeds: Feeds
  /** One array for each parameter, in their order; a whole tensor's is the program's own. */
  collect(gradients: BackwardGradients): readonly Float32Array[]
}

export function planBlockParameters(config: ModelConfig, parameters: readonly BlockParameter[]): BlockParameterPlan {
  const shapes = blockShapes(config)
  const scales = unique(parameters.flatMap((parameter) => (parameter.kind === 'scale' ? [parameter.target] : [])))
  const roles = unique(parameters.flatMap((parameter) => (parameter.kind === 'scale' ? [] : [parameter.role])))
  // A vector's gradient costs nothing beside its block's; so does a matrix' that is wanted as a whole already.
  const asked = (role: BlockTensorRole) => parameters.filter((one) => one.kind !== 'scale' && one.role === role)
  const isMasked = (role: BlockTensorRole) =>
    shapes[role]?.length === 2 && asked(role).length === 1 && asked(role)[0]?.kind === 'entries'
  const masked = roles.filter(isMasked).sort() // one program whatever their order
  const places = parameters.flatMap((parameter) =>
    parameter.kind === 'entries' && isMasked(parameter.role)
      ? Object.entries(entryFeeds(parameter.role, parameter.indices, shapes[parameter.role]?.[1] ?? 1))
      : [],
  )
  return {
    wanted: { tensors: roles.filter((role) => !isMasked(role)).sort(), masked, scales: scales.sort() },
    feeds: Object.fromEntries(places),
    collect: (gradients) => parameters.map((parameter) => gradientOf(parameter, gradients, isMasked)),
  }
}

/** `<name>.rows` and `<name>.columns`: (chunks, entries a chunk) int32, the last ones filled up with zeros. */
export function entryFeeds(name: string, indices: Uint32Array, width: number): Feeds {
  const chunks = Math.max(1, Math.ceil(indices.length / entriesPerChunk)) // a loop runs at least once
  const perChunk = Math.ceil(indices.length / chunks)
  const rows = new Int32Array(chunks * perChunk)
  const columns = new Int32Array(chunks * perChunk)
  for (const [i, index] of indices.entries()) {
    rows[i] = Math.floor(index / width)
    columns[i] = index % width
  }
  const tensor = (values: Int32Array) => new Tensor('int32', values, [chunks, perChunk])
  return { [`${name}.rows`]: tensor(rows), [`${name}.columns`]: tensor(columns) }
}

function gradientOf(
  parameter: BlockParameter,
  { tensors, scales }: BackwardGradients,
  isMasked: (role: BlockTensorRole) => boolean,
): Float32Array {
  if (parameter.kind === 'scale') return floats(scales[parameter.target])
  const whole = floats(tensors[parameter.role])
  if (parameter.kind === 'tensor') return whole
  const { indices, role } = parameter
  return isMasked(role) ? whole.subarray(0, indices.length) : pickEntries(whole, indices)
}

/** The elements of `values` at `indices`. */
export function pickEntries(values: Float32Array, indices: Uint32Array): Float32Array {
  const picked = new Float32Array(indices.length)
  for (let i = 0; i < indices.length; i++) picked[i] = values[indices[i] as number] as number
  return picked
}

/** A float32 output's elements. */
export function floats(tensor: Tensor | undefined): Float32Array {
  return tensor?.data as Float32Array
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)]
}
