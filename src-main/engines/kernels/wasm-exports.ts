/** The module `kernels.wasm` on a workspace's memory: its functions as they are, of pointers, sizes and numbers. */
import { readFileSync } from 'node:fs'
import type { Workspace } from './workspace.ts'

type ExportName =
  | ('rmsNorm' | 'headNorm' | 'addInPlace' | 'addRowVector' | 'multiplyRowVector' | 'ropeHalf' | 'ropeInterleaved')
  | ('storeKeyValues' | 'attention' | 'attentionScratchBytes' | 'siluMultiply')
  | ('sparseProduct' | 'sparseProductOfTile' | 'turnRows')
  | ('dequantise' | 'quantise' | 'halvesToFloats' | 'relayQ40' | 'relayQ80')
  | ('adapt' | 'descend' | 'sparseGradient' | 'transpose' | 'transposedProduct')

export type WasmExports = Readonly<Record<ExportName, (...numbers: number[]) => number>>

let compiled: WebAssembly.Module | undefined

/** The module, compiled once a process. In a built product it lies beside the bundle that this file became part of. */
function kernelModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(readFileSync(new URL('./kernels.wasm', import.meta.url)))
  return compiled
}

const instances = new WeakMap<Workspace, WasmExports>()

/** One instance a workspace. Throws `WebAssembly.CompileError` where the runtime lacks relaxed SIMD. */
export function wasmExports(workspace: Workspace): WasmExports {
  const known = instances.get(workspace)
  if (known !== undefined) return known
  const { exports } = new WebAssembly.Instance(kernelModule(), { env: { memory: workspace.memory } })
  instances.set(workspace, exports as WasmExports)
  return exports as WasmExports
}
