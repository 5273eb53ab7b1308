/**
 * Numbers from one form of storage to another. Quantised matrices (rows, columns) are in the layout of onnxruntime's
 * MatMulNBits: codes (rows, groups, group * bits / 8), 4-bit codes two a byte, the first in the low half; float32 scales
 * (rows, groups); a row's last group is filled up with codes of zero. A code c stands for (c - 2^(bits - 1)) * scale.
 */
import { wasmExports } from './wasm-exports.ts'
import type { Pointer, Workspace } from './workspace.ts'

export interface GroupedMatrix {
  readonly bits: 4 | 8
  /** Numbers that share a scale: a multiple of 16. */
  readonly group: number
  readonly rows: number
  readonly columns: number
  readonly codes: Pointer
  readonly scales: Pointer
}

export interface FormatKernels {
  /** What the codes stand for, rounded once -> `out`: (rows, columns) */
  dequantise(matrix: GroupedMatrix, out: Pointer): void
  /**
   * `values`: (rows, columns) -> `matrix`'s codes and scales, rounded to nearest, ties to even. With 8 bits the largest
   * magnitude of a group becomes 127; with 4 it becomes -8, or near it when that makes the group's squared error smaller.
   */
  quantise(values: Pointer, matrix: GroupedMatrix): void
  /** IEEE 754 binary16 to float32, exactly. Both (count,) */
  halvesToFloats(halves: Pointer, out: Pointer, count: number): void
  /** GGUF blocks of 34 bytes -> `codes`: (blocks, 32), `scales`: (blocks,), the same numbers in groups of 32 */
  relayQ80(source: Pointer, codes: Pointer, scales: Pointer, blocks: number): void
  /** GGUF blocks of 18 bytes -> `codes`: (blocks, 16), `scales`: (blocks,), the same numbers in groups of 32 */
  relayQ40(source: Pointer, codes: Pointer, scales: Pointer, blocks: number): void
}

export function createFormatKernels(workspace: Workspace): FormatKernels {
  const wasm = wasmExports(workspace)
  const scratchFor = (group: number): Pointer => workspace.scratch('group', group * 4)
  return {
    dequantise({ bits, group, rows, columns, codes, scales }, out) {
      wasm.dequantise(bits, codes, scales, out, rows, columns, group, scratchFor(group))
    },
    quantise(values, { bits, group, rows, columns, codes, scales }) {
      wasm.quantise(bits, values, codes, scales, rows, columns, group, scratchFor(group))
    },
    halvesToFloats: wasm.halvesToFloats,
    relayQ80: wasm.relayQ80,
    relayQ40: wasm.relayQ40,
  }
}
