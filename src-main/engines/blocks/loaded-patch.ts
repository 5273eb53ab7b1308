/**
 * Patches in the form the kernels take: each matrix delta packed once, in memory that lasts as long as a session or the
 * patch's owner holds it; and what several patches of one session come to in each block.
 */
import type { BlockTensorRole, ModelConfig } from '#contracts/model/manifest.ts'
import type { Span } from '#contracts/span.ts'
import { blockShapes } from '#core/numerics/block.ts'
import type { ScaleTarget } from '#core/ports/engine.ts'
import { freePackedDelta, type PackedDelta, packDelta } from '../kernels/sparse-delta.ts'
import type { Workspace } from '../kernels/workspace.ts'
import type { BlockProduct } from '../shared/linear-backend.ts'
import type { BlockPatch, SplitPatch, TensorDelta } from '../shared/patch-split.ts'
import { type BlockVectors, type VectorRole, vectorRoles } from './block-vectors.ts'
import { type Counted, createCounted } from './counted.ts'

/** A delta's place in the product that its matrix is part of. */
export interface PlacedDelta {
  readonly delta: PackedDelta
  /** The first of the product's outputs that it adds to. */
  readonly offset: number
}

/** ΔW = left right, applied as two thin products: matrices that are not sparse at all, in the same form. */
export interface PlacedFactors {
  readonly rank: number
  readonly left: PackedDelta // (out, rank)
  readonly right: PackedDelta // (rank, in)
  readonly offset: number
}

interface PackedBlockPatch {
  readonly matrices: Readonly<Partial<Record<BlockProduct, readonly PlacedDelta[]>>>
  readonly factors: Readonly<Partial<Record<BlockProduct, readonly PlacedFactors[]>>>
  readonly vectors: Readonly<Partial<Record<VectorRole, TensorDelta>>>
  readonly scales: BlockPatch['scales']
}

/** One patch within a runner. */
export interface PackedPatch extends Counted {
  readonly weightBytes: number
  readonly blocks: ReadonlyMap<number, PackedBlockPatch>
}

/** What a session's patches change in one block. Pointers; vectors stand in place of the base's. */
export interface BlockChanges {
  readonly deltas: Readonly<Record<BlockProduct, readonly PlacedDelta[]>>
  readonly factors: Readonly<Record<BlockProduct, readonly PlacedFactors[]>>
  readonly vectors: Readonly<Partial<Record<VectorRole, number>>>
  readonly scales: Readonly<Partial<Record<ScaleTarget, number>>>
}

export interface SessionPatches extends Counted {
  /** By block index in the model; blocks without changes are absent. */
  readonly blocks: ReadonlyMap<number, BlockChanges>
}

/** Where each matrix lies in its product's outputs. */
function placeOf(role: BlockTensorRole, config: ModelConfig): { product: BlockProduct; offset: number } | undefined {
  const { headCount, kvHeadCount, headSize, intermediateSize } = config
  switch (role) {
    case 'query':
      return { product: 'queryKeyValue', offset: 0 }
    case 'key':
      return { product: 'queryKeyValue', offset: headCount * headSize }
    case 'value':
      return { product: 'queryKeyValue', offset: (headCount + kvHeadCount) * headSize }
    case 'output':
    case 'down':
      return { product: role, offset: 0 }
    case 'gate':
      return { product: 'gateUp', offset: 0 }
    case 'up':
      return { product: 'gateUp', offset: intermediateSize }
    default:
      return undefined
  }
}

/** Packs what `patch` changes in `span`; nothing is kept of what it changes elsewhere. */
export function packPatch(workspace: Workspace, config: ModelConfig, patch: SplitPatch, span: Span): PackedPatch {
  const packed: PackedDelta[] = []
  const counted = createCounted(() => {
    for (const delta of packed) freePackedDelta(workspace, delta)
  })
  try {
    const blocks = new Map<number, PackedBlockPatch>()
    for (const [index, block] of patch.blocks) {
      if (index >= span.start && index < span.end) blocks.set(index, packBlock(workspace, config, block, packed))
    }
    const vectorBytes = [...blocks.values()].reduce((sum, block) => sum + looseBytes(block), 0)
    const weightBytes = packed.reduce((sum, delta) => sum + delta.byteLength, vectorBytes)
    return { ...counted, weightBytes, blocks }
  } catch (error) {
    counted.release()
    throw error
  }
}

function packBlock(
  workspace: Workspace,
  config: ModelConfig,
  { deltas, factors, scales }: BlockPatch,
  packed: PackedDelta[],
): PackedBlockPatch {
  const matrices: Partial<Record<BlockProduct, PlacedDelta[]>> = {}
  const vectors: Partial<Record<VectorRole, TensorDelta>> = {}
  const shapes = blockShapes(config)
  for (const [key, delta] of Object.entries(deltas)) {
    const role = key as BlockTensorRole
    const place = placeOf(role, config)
    if (!place) {
      vectors[role as VectorRole] = delta
      continue
    }
    const [rows = 0, columns = 0] = shapes[role] ?? []
    const placed = { delta: packDelta(workspace, delta.indices, delta.values, rows, columns), offset: place.offset }
    packed.push(placed.delta)
    matrices[place.product] = [...(matrices[place.product] ?? []), placed]
  }
  return { matrices, factors: packFactors(workspace, config, factors, packed), vectors, scales }
}

function packFactors(
  workspace: Workspace,
  config: ModelConfig,
  factors: BlockPatch['factors'],
  packed: PackedDelta[],
): PackedBlockPatch['factors'] {
  const byProduct: Partial<Record<BlockProduct, PlacedFactors[]>> = {}
  const pack = (values: Float32Array, rows: number): PackedDelta => {
    const everywhere = Uint32Array.from(values.keys())
    const delta = packDelta(workspace, everywhere, values, rows, values.length / rows)
    packed.push(delta)
    return delta
  }
  for (const [key, { rank, left, right }] of Object.entries(factors)) {
    const place = placeOf(key as BlockTensorRole, config)
    if (!place) continue // only matrices have factors
    const placed = { rank, left: pack(left, left.length / rank), right: pack(right, rank), offset: place.offset }
    byProduct[place.product] = [...(byProduct[place.product] ?? []), placed]
  }
  return byProduct
}

function looseBytes({ vectors, scales }: PackedBlockPatch): number {
  const deltas = Object.values(vectors).reduce(
    (sum, { indices, values }) => sum + indices.byteLength + values.byteLength,
    0,
  )
  return Object.values(scales).reduce((sum, values) => sum + values.byteLength, deltas)
}

/**
 * What `patches` come to together: deltas add up, scales multiply. Holds the patches, and the vectors it makes, until
 * released. Vectors are made when first asked for, so that memory grows only while blocks run. `base` gives a block's own.
 */
export function combinePatches(
  workspace: Workspace,
  patches: readonly PackedPatch[],
  base: (block: number) => BlockVectors,
): SessionPatches {
  const pointers: number[] = []
  let blocks: ReadonlyMap<number, BlockChanges> | undefined
  for (const patch of patches) patch.hold()
  const counted = createCounted(() => {
    for (const pointer of pointers) workspace.free(pointer)
    for (const patch of patches) patch.release()
  })
  const keep = (values: Float32Array): number => {
    const pointer = workspace.allocate(values.byteLength)
    pointers.push(pointer)
    workspace.floats(pointer, values.length).set(values)
    return pointer
  }
  function combine(): ReadonlyMap<number, BlockChanges> {
    const touched = new Set(patches.flatMap((patch) => [...patch.blocks.keys()]))
    const changesOf = (index: number) => patches.flatMap((patch) => patch.blocks.get(index) ?? [])
    return new Map(
      [...touched].map((index) => [index, combineBlock(workspace, changesOf(index), base(index), keep)] as const),
    )
  }
  return {
    ...counted,
    get blocks() {
      blocks ??= combine()
      return blocks
    },
  }
}

function combineBlock(
  workspace: Workspace,
  changes: readonly PackedBlockPatch[],
  base: BlockVectors,
  keep: (values: Float32Array) => number,
): BlockChanges {
  const perProduct = <T>(of: (change: PackedBlockPatch, product: BlockProduct) => readonly T[] | undefined) => {
    const all = (product: BlockProduct) => changes.flatMap((change) => of(change, product) ?? [])
    const [queryKeyValue, output] = [all('queryKeyValue'), all('output')]
    return { queryKeyValue, output, gateUp: all('gateUp'), down: all('down') }
  }
  const vectors: Partial<Record<VectorRole, number>> = {}
  for (const role of vectorRoles) {
    const deltas = changes.flatMap((change) => change.vectors[role] ?? [])
    const own = base[role]
    if (deltas.length > 0 && own) vectors[role] = keep(addDeltas(workspace.floats(own.pointer, own.length), deltas))
  }
  const scales: Partial<Record<ScaleTarget, number>> = {}
  for (const target of ['key', 'value', 'feedForward'] as const) {
    const factors = changes.flatMap((change) => change.scales[target] ?? [])
    if (factors.length > 0) scales[target] = keep(multiplyAll(factors))
  }
  return {
    deltas: perProduct(({ matrices }, product) => matrices[product]),
    factors: perProduct(({ factors }, product) => factors[product]),
    vectors,
    scales,
  }
}

function addDeltas(base: Float32Array, deltas: readonly TensorDelta[]): Float32Array {
  const sum = base.slice()
  for (const { indices, values } of deltas) {
    for (const [i, index] of indices.entries()) sum[index] = (sum[index] as number) + (values[i] as number)
  }
  return sum
}

function multiplyAll(factors: readonly Float32Array[]): Float32Array {
  const product = (factors[0] as Float32Array).slice()
  for (const factor of factors.slice(1))
    for (const [i, value] of factor.entries()) product[i] = (product[i] as number) * value
  return product
}
