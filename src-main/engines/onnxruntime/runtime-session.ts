/** How every session of the runtime is made; the measurements behind the options are in docs/decisions/0003. */
import { InferenceSession } from 'onnxruntime-node'
import { encodeOnnxModel, type OnnxGraph, weightsPath } from './onnx-model.ts'

/**
 * Makes a session that holds its own copy of `weights`: they may be written over as soon as this resolves. Blocks the
 * event loop while it copies and packs.
 */
export function createRuntimeSession(
  graph: OnnxGraph,
  weights: Float32Array,
  threads: number,
): Promise<InferenceSession> {
  return InferenceSession.create(encodeOnnxModel(graph), {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    // An arena keeps the largest prefill's scratch for good, once a block; patterns are kept for every input length.
    enableCpuMemArena: false,
    enableMemPattern: false,
    logSeverityLevel: 4,
    externalData: [{ path: weightsPath, data: new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength) }],
    // Each session has its own threads; when they spin, an idle host burns a core a session.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  })
}
