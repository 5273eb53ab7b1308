/** Starts TensorFlow.js on its WASM backend: XNNPACK's float32 kernels with SIMD, one thread in Node. */
import { createRequire } from 'node:module'
import { dirname, sep } from 'node:path'
import { EngineFailedError } from '#core/errors.ts'
import type { StartedTensorFlow, TensorFlow } from './tensorflow.ts'

/** WASM addresses 4 GiB; what is left over serves inputs, outputs and gaps between tensors. */
const maximumBytes = 3.5 * 1024 ** 3

let started: Promise<StartedTensorFlow> | null = null

/** Once a process. Throws `EngineFailedError` when the WASM file cannot be started. */
export function startWasm(): Promise<StartedTensorFlow> {
  started ??= start().catch((error) => {
    started = null
    throw error
  })
  return started
}

async function start(): Promise<StartedTensorFlow> {
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm')
  const tf = (await import('@tensorflow/tfjs-core')) as unknown as TensorFlow
  setWasmPaths(wasmFolder())
  await withoutProcessListeners(async () => {
    if (!(await tf.setBackend('wasm'))) throw new EngineFailedError('tfjs-wasm', 'its WASM file could not be started')
  })
  return { tf, name: 'wasm', maximumBytes }
}

/** Beside the package's own entry, also inside of a packed app's archive, which Electron's `fs` reads. */
function wasmFolder(): string {
  return dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm')) + sep
}

/**
 * Its loader adds listeners to the process that throw every uncaught fault again, which would end the node before its own
 * listeners have had their say. Those it added are taken away.
 */
async function withoutProcessListeners(start: () => Promise<void>): Promise<void> {
  const events = ['uncaughtException', 'unhandledRejection']
  const before = events.map((event) => process.listeners(event as 'exit'))
  try {
    await start()
  } finally {
    for (const [i, event] of events.entries()) {
      for (const listener of process.listeners(event as 'exit')) {
        if (!before[i]?.includes(listener)) process.removeListener(event, listener)
      }
    }
  }
}
