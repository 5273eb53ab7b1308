/**
 * Kernels in WebAssembly SIMD: what a block computes besides its matrix products, on a workspace's memory. Every number is
 * float32, every pointer a byte offset there; sizes and strides count elements, and a stride is the distance from one row's
 * first element to the next row's. A row may be part of a longer one: then its stride is that one's length.
 *
 * Nothing is checked: pointers and sizes are the engine's own. `docs/decisions/0009-kernels.md` has the measurements.
 */
import { wasmExports } from './wasm-exports.ts'
import type { Pointer, Workspace } from './workspace.ts'

/** Positions of a KV page; `assembly/cache.ts` says the same number. */
export const pageSlots = 32

/** Bytes of one block's part of a KV page: keys (kvHeads, pageSlots, headSize), then values alike. */
export function pagePartBytes(kvHeads: number, headSize: number): number {
  return 2 * kvHeads * pageSlots * headSize * Float32Array.BYTES_PER_ELEMENT
}

/** Some rows of heads inside longer rows. */
interface Heads {
  /** The first head of the first row. */
  readonly x: Pointer
  readonly rowStride: number
  readonly rows: number
  readonly heads: number
  readonly headSize: number
}

interface Cached {
  /** u32 pointers (pages,) to this block's part of the sequence's pages, from position 0 on. */
  readonly pageTable: Pointer
  /** Of the first row; the others follow it. */
  readonly position: number
  readonly rows: number
  readonly kvHeads: number
  readonly headSize: number
}

export interface Kernels {
  /** out = x / √(mean(x²) + ε) ⊙ gain. `x`, `out`: (rows, size), may be one; `gain`: (size,) */
  rmsNorm(x: Pointer, gain: Pointer, out: Pointer, rows: number, size: number, epsilon: number): void
  /** RMS norm of every head in place. `gain`: (headSize,) */
  headNorm(heads: Heads, gain: Pointer, epsilon: number): void
  /** y += x; (count,) */
  addInPlace(y: Pointer, x: Pointer, count: number): void
  /** y[r, :size] += vector. `y`: (rows, rowStride) */
  addRowVector(y: Pointer, rowStride: number, vector: Pointer, rows: number, size: number): void
  /** y[r, :size] *= vector. `y`: (rows, rowStride) */
  multiplyRowVector(y: Pointer, rowStride: number, vector: Pointer, rows: number, size: number): void
  /** Turns heads in place. `cosines`, `sines`: (positions, headSize / 2); `positions`: (rows,) int32. */
  rope(style: 'half' | 'interleaved', heads: Heads, tables: RopeTables, positions: Pointer): void
  /** Copies `keys` and `values`, (rows, rowStride) beginning with (kvHeads, headSize), to their slots. */
  storeKeyValues(keys: Pointer, values: Pointer, rowStride: number, cached: Cached): void
  /** Attention of consecutive rows, whose own keys and values are stored already. */
  attention(request: AttentionRequest): void
  /** out = silu(gate) ⊙ up. `gateUp`: (rows, 2 size), gates then ups; `out`: (rows, size) */
  siluMultiply(gateUp: Pointer, out: Pointer, rows: number, size: number): void
  /** y += Δ x for one row, with a delta's parts in a row: see `sparse-delta.ts`, which is what to call. */
  sparseProduct(...deltaXY: readonly [...DeltaParts, x: Pointer, y: Pointer]): void
  /** The same for up to eight rows, turned by `turnRows`. `turned`: (in, 8), `y`: (count, yStride) */
  sparseProductOfTile(
    ...deltaXY: readonly [...DeltaParts, turned: Pointer, y: Pointer, yStride: number, count: number]
  ): void
  /** `x`: (count, xStride), at most eight rows of `size` elements -> `turned`: (size, 8), filled up with zeros */
  turnRows(x: Pointer, xStride: number, count: number, size: number, turned: Pointer): void
}

/** A packed delta: (bundles,) u32, (bundles, 8) u32, then each bundle's (steps, 8) u16 and (steps, 8) float32. */
type DeltaParts = readonly [steps: Pointer, rows: Pointer, columns: Pointer, values: Pointer, bundles: number]

export interface RopeTables {
  readonly cosines: Pointer
  readonly sines: Pointer
}

export interface AttentionRequest extends Cached {
  /** (rows, queryStride), rows beginning with (headCount, headSize), turned */
  readonly queries: Pointer
  readonly queryStride: number
  /** (rows, outputStride), rows beginning with (headCount, headSize) */
  readonly output: Pointer
  readonly outputStride: number
  /** A multiple of kvHeads: neighbours share a key-value head. */
  readonly headCount: number
  /** A row at p attends to [max(0, p - window + 1), p]; to all of [0, p] when left out. */
  readonly window?: number | undefined
}

/** The kernels on `workspace`'s memory. Throws `WebAssembly.CompileError` where the runtime lacks relaxed SIMD. */
export function createKernels(workspace: Workspace): Kernels {
  const wasm = wasmExports(workspace)
  return {
    rmsNorm: wasm.rmsNorm,
    headNorm({ x, rowStride, rows, heads, headSize }, gain, epsilon) {
      wasm.headNorm(x, rowStride, gain, rows, heads, headSize, epsilon)
    },
    addInPlace: wasm.addInPlace,
    addRowVector: wasm.addRowVector,
    multiplyRowVector: wasm.multiplyRowVector,
    rope(style, { x, rowStride, rows, heads, headSize }, { cosines, sines }, positions) {
      const turn = style === 'half' ? wasm.ropeHalf : wasm.ropeInterleaved
      turn(x, rowStride, cosines, sines, positions, rows, heads, headSize)
    },
    storeKeyValues(keys, values, rowStride, { rows, position, pageTable, kvHeads, headSize }) {
      wasm.storeKeyValues(keys, values, rowStride, rows, position, pageTable, kvHeads, headSize)
    },
    attention(request) {
      const { queries, queryStride, output, outputStride, rows, position, pageTable } = request
      const { kvHeads, headCount, headSize, window = 0 } = request
      const scratch = workspace.scratch('attention', wasm.attentionScratchBytes(headSize))
      const shape = [kvHeads, headCount / kvHeads, headSize, window] as const
      wasm.attention(queries, queryStride, output, outputStride, rows, position, pageTable, ...shape, scratch)
    },
    siluMultiply: wasm.siluMultiply,
    sparseProduct: wasm.sparseProduct,
    sparseProductOfTile: wasm.sparseProductOfTile,
    turnRows: wasm.turnRows,
  }
}
