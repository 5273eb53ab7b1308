/**
 * Starts TensorFlow's own library through `@tensorflow/tfjs-node` or `@tensorflow/tfjs-node-gpu` (CUDA), where one is
 * installed. Each brings its own `@tensorflow/tfjs`, and only that object reaches its kernels.
 */
import util from 'node:util'
import { EngineFailedError } from '#core/errors.ts'
import type { StartedTensorFlow, TensorFlow } from './tensorflow.ts'

export type NodePlatform = 'node' | 'gpu'

export const nodePackages = { node: '@tensorflow/tfjs-node', gpu: '@tensorflow/tfjs-node-gpu' } as const

/** A package's module by its name; dynamic import, save in tests. */
export type ImportPackage = (name: string) => Promise<unknown>

/**
 * Throws `EngineFailedError` when the package is absent, its native part does not load, or CUDA is asked for and no GPU is
 * used: TensorFlow then computes on the processor without a word.
 */
export async function startNode(
  platform: NodePlatform,
  importPackage: ImportPackage = (name) => import(name),
): Promise<StartedTensorFlow> {
  const backend = platform === 'gpu' ? 'tfjs-cuda' : 'tfjs-node'
  restoreNullCheck()
  // TensorFlow rounds float32 factors to 10 bits of fraction (TF32) on newer GPUs unless the driver is told not to.
  if (platform === 'gpu') process.env['NVIDIA_TF32_OVERRIDE'] ??= '0'
  const tf = await importTensorFlow(backend, nodePackages[platform], importPackage)
  if (!(await tf.setBackend('tensorflow'))) throw new EngineFailedError(backend, 'TensorFlow could not be started')
  if (platform === 'gpu' && !usesGpu(tf)) throw new EngineFailedError(backend, 'TensorFlow found no GPU to use')
  return { tf, name: 'tensorflow', maximumBytes: null }
}

async function importTensorFlow(backend: string, name: string, importPackage: ImportPackage): Promise<TensorFlow> {
  try {
    const module = (await importPackage(name)) as Partial<TensorFlow> & { default?: TensorFlow }
    const tf = typeof module.matMul === 'function' ? module : module.default
    if (typeof tf?.matMul === 'function') return tf as TensorFlow
    throw new TypeError(`${name} is not TensorFlow.js`)
  } catch (cause) {
    throw new EngineFailedError(backend, cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

/** The packages call `util.isNullOrUndefined`, which Node removed in version 23. */
function restoreNullCheck(): void {
  const removed = util as { isNullOrUndefined?: (value: unknown) => boolean }
  removed.isNullOrUndefined ??= (value) => value === null || value === undefined
}

function usesGpu(tf: TensorFlow): boolean {
  const backend = tf.backend() as { isUsingGpuDevice?: unknown }
  return backend.isUsingGpuDevice === true
}
