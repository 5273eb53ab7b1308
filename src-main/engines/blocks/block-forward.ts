/**
 * One block over the rows of several sequences at once (compare `core/numerics/block.ts`): products take all rows together,
 * so that the weights are read once; rotation, caches, attention and patches go by sequence.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { Kernels } from '../kernels/kernels.ts'
import { type SparseRows, sparseProduct } from '../kernels/sparse-delta.ts'
import type { Pointer, Workspace } from '../kernels/workspace.ts'
import type { BlockProduct, BlockProducts } from '../shared/linear-backend.ts'
import type { BlockVectors, VectorRole } from './block-vectors.ts'
import { giveBack } from './give-back.ts'
import type { BlockChanges, PlacedFactors, SessionPatches } from './loaded-patch.ts'
import type { RotaryTables } from './rotary-tables.ts'
import type { SessionCache } from './session-cache.ts'

/** Consecutive rows of one sequence. */
export interface Segment {
  readonly cache: SessionCache
  readonly patches: SessionPatches | null
  /** Of the first row. */
  readonly position: number
  /** Its first row's place in the batch. */
  readonly row: number
  readonly rows: number
}

export interface Block {
  /** Its index in the model. */
  readonly index: number
  readonly products: BlockProducts
  readonly vectors: BlockVectors
}

export interface BlockForward {
  /** Runs the batch in `x` (rows, hidden) through `block` -> the block's output, like `x` */
  run(block: Block, place: number, segments: readonly Segment[], x: Float32Array): Promise<Float32Array>
}

export interface BlockForwardComponents {
  readonly workspace: Workspace
  readonly kernels: Kernels
  readonly rotary: RotaryTables
  readonly config: ModelConfig
}

const floatBytes = Float32Array.BYTES_PER_ELEMENT

/**
 * Calls do not overlap, and the workspace does not grow while one waits for a product: products read their inputs in place,
 * and growth would take them away.
 */
export function createBlockForward({ workspace, kernels, rotary, config }: BlockForwardComponents): BlockForward {
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headSize, rmsNormEpsilon } = config
  const queryWidth = headCount * headSize
  const kvWidth = kvHeadCount * headSize
  const projectedWidth = queryWidth + 2 * kvWidth
  const widths = {
    queryKeyValue: { width: hiddenSize, outputWidth: projectedWidth },
    output: { width: queryWidth, outputWidth: hiddenSize },
    gateUp: { width: hiddenSize, outputWidth: 2 * intermediateSize },
    down: { width: intermediateSize, outputWidth: hiddenSize },
  } as const

  const rowsAt = (pointer: Pointer, width: number, row: number): Pointer => pointer + row * width * floatBytes
  const totalRows = (x: Float32Array): number => x.length / hiddenSize

  /** Activations of one kind. Only one batch is under way, so each kind has one place, as long as the longest batch. */
  function scratch(name: string, rows: number, width: number): Pointer {
    return workspace.scratch(name, rows * width * floatBytes)
  }
  function place(name: string, values: Float32Array): Pointer {
    const pointer = workspace.scratch(name, values.byteLength)
    workspace.floats(pointer, values.length).set(values)
    return pointer
  }

  function vectorOf(block: Block, changes: BlockChanges | undefined, role: VectorRole): Pointer | undefined {
    return changes?.vectors[role] ?? block.vectors[role]?.pointer
  }
  const changesOf = (segment: Segment, block: Block): BlockChanges | undefined =>
    segment.patches?.blocks.get(block.index)

  function norm(block: Block, segments: readonly Segment[], role: VectorRole, from: Pointer, to: Pointer): void {
    for (const segment of segments) {
      const gain = vectorOf(block, changesOf(segment, block), role) as Pointer
      const [source, target] = [from, to].map((pointer) => rowsAt(pointer, hiddenSize, segment.row)) as [number, number]
      kernels.rmsNorm(source, gain, target, segment.rows, hiddenSize, rmsNormEpsilon)
    }
  }

  /** The product of all rows, and what patches add for the rows of their sessions. `input`: (rows, width) */
  async function product(
    block: Block,
    name: BlockProduct,
    segments: readonly Segment[],
    input: Pointer,
  ): Promise<Pointer> {
    const { width, outputWidth } = widths[name]
    const rows = segments.reduce((sum, segment) => sum + segment.rows, 0)
    const result = await block.products.run(name, workspace.floats(input, rows * width))
    const output = place(name, result)
    giveBack(result)
    for (const segment of segments) {
      const changes = changesOf(segment, block)
      const from = { x: rowsAt(input, width, segment.row), xStride: width, rows: segment.rows }
      const to = { y: rowsAt(output, outputWidth, segment.row), yStride: outputWidth }
      for (const { delta, offset } of changes?.deltas[name] ?? []) {
        sparseProduct(kernels, workspace, delta, { ...from, ...to, y: to.y + offset * floatBytes })
      }
      for (const factors of changes?.factors[name] ?? []) addFactors(factors, from, to)
    }
    return output
  }

  /** y += left (right x) for each row. */
  function addFactors(
    { rank, left, right, offset }: PlacedFactors,
    from: Pick<SparseRows, 'x' | 'xStride' | 'rows'>,
    to: Pick<SparseRows, 'y' | 'yStride'>,
  ): void {
    const { rows } = from
    const inner = scratch('factors', rows, rank)
    workspace.floats(inner, rows * rank).fill(0)
    sparseProduct(kernels, workspace, right, { ...from, y: inner, yStride: rank })
    const y = to.y + offset * floatBytes
    sparseProduct(kernels, workspace, left, { x: inner, xStride: rank, rows, y, yStride: to.yStride })
  }

  /** Biases and (IA)³ on one of queries, keys or values of a segment, then head norms. */
  function adjust(block: Block, segment: Segment, projected: Pointer): void {
    const changes = changesOf(segment, block)
    const parts = [
      { at: 0, width: queryWidth, heads: headCount, bias: 'queryBias', norm: 'queryNorm', scale: undefined },
      { at: queryWidth, width: kvWidth, heads: kvHeadCount, bias: 'keyBias', norm: 'keyNorm', scale: 'key' },
      {
        at: queryWidth + kvWidth,
        width: kvWidth,
        heads: kvHeadCount,
        bias: 'valueBias',
        norm: undefined,
        scale: 'value',
      },
    ] as const
    for (const part of parts) {
      const x = rowsAt(projected, projectedWidth, segment.row) + part.at * floatBytes
      const bias = vectorOf(block, changes, part.bias)
      if (bias) kernels.addRowVector(x, projectedWidth, bias, segment.rows, part.width)
      const scale = part.scale && changes?.scales[part.scale]
      if (scale) kernels.multiplyRowVector(x, projectedWidth, scale, segment.rows, part.width)
      const gain = part.norm && vectorOf(block, changes, part.norm)
      if (!gain) continue
      const heads = { x, rowStride: projectedWidth, rows: segment.rows, heads: part.heads, headSize }
      kernels.headNorm(heads, gain, rmsNormEpsilon)
    }
  }

  /** Turns all rows' queries and keys: they are neighbours, so they are heads alike. */
  function rotate(segments: readonly Segment[], projected: Pointer, rows: number): void {
    const last = Math.max(...segments.map((segment) => segment.position + segment.rows))
    const tables = rotary.upTo(last)
    const positions = workspace.scratch('positions', rows * Int32Array.BYTES_PER_ELEMENT)
    const numbers = workspace.integers(positions, rows)
    for (const { row, rows: count, position } of segments) {
      for (let i = 0; i < count; i++) numbers[row + i] = position + i
    }
    const heads = { x: projected, rowStride: projectedWidth, rows, heads: headCount + kvHeadCount, headSize }
    kernels.rope(config.ropeStyle, heads, { cosines: tables.cosine, sines: tables.sine }, positions)
  }

  function attend(segment: Segment, place: number, projected: Pointer, attended: Pointer): void {
    const pages = segment.cache.pages(place)
    const pageTable = workspace.scratch('pageTable', pages.length * Int32Array.BYTES_PER_ELEMENT)
    workspace.integers(pageTable, pages.length).set(pages)
    const queries = rowsAt(projected, projectedWidth, segment.row)
    const keys = queries + queryWidth * floatBytes
    const values = keys + kvWidth * floatBytes
    const cached = { pageTable, position: segment.position, rows: segment.rows, kvHeads: kvHeadCount, headSize }
    kernels.storeKeyValues(keys, values, projectedWidth, cached)
    kernels.attention({
      ...cached,
      queries,
      queryStride: projectedWidth,
      output: rowsAt(attended, queryWidth, segment.row),
      outputStride: queryWidth,
      headCount,
      window: config.slidingWindow,
    })
  }

  /** -> where the attended values (rows, headCount * headSize) are */
  async function attention(block: Block, blockPlace: number, segments: readonly Segment[], x: Float32Array) {
    const rows = totalRows(x)
    const normed = scratch('normed', rows, hiddenSize)
    norm(block, segments, 'attentionNorm', place('x', x), normed)
    const projected = await product(block, 'queryKeyValue', segments, normed)
    for (const segment of segments) adjust(block, segment, projected)
    rotate(segments, projected, rows)
    const attended = scratch('attended', rows, queryWidth)
    for (const segment of segments) attend(segment, blockPlace, projected, attended)
    return attended
  }

  /** Output projection and feed-forward, product by product, so that patches can add to each. */
  async function finishInPieces(block: Block, segments: readonly Segment[], attended: Pointer, x: Float32Array) {
    const rows = totalRows(x)
    const output = await product(block, 'output', segments, attended)
    const h = place('x', x)
    kernels.addInPlace(h, output, rows * hiddenSize)
    const normed = scratch('normed', rows, hiddenSize)
    norm(block, segments, 'feedForwardNorm', h, normed)
    const gateUp = await product(block, 'gateUp', segments, normed)
    const gated = scratch('gated', rows, intermediateSize)
    kernels.siluMultiply(gateUp, gated, rows, intermediateSize)
    for (const segment of segments) {
      const scale = changesOf(segment, block)?.scales.feedForward
      const start = rowsAt(gated, intermediateSize, segment.row)
      if (scale) kernels.multiplyRowVector(start, intermediateSize, scale, segment.rows, intermediateSize)
    }
    kernels.addInPlace(h, await product(block, 'down', segments, gated), rows * hiddenSize)
    return workspace.floats(h, rows * hiddenSize).slice()
  }

  return {
    async run(block, blockPlace, segments, x) {
      const attended = await attention(block, blockPlace, segments, x)
      const patched = segments.some((segment) => changesOf(segment, block))
      if (patched || !block.products.finish) return finishInPieces(block, segments, attended, x)
      const gain = workspace.floats(block.vectors.feedForwardNorm?.pointer ?? 0, hiddenSize)
      return block.products.finish(workspace.floats(attended, totalRows(x) * queryWidth), x, gain)
    },
  }
}
