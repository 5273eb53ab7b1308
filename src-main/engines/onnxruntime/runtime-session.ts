/** How every session of the runtime is made; the measurements behind the options are in docs/decisions/0003. */
import { basename, dirname } from 'node:path'
import { InferenceSession } from 'onnxruntime-node'
import { encodeOnnxModel, type OnnxGraph } from '../shared/onnx-model.ts'

/**
 * Makes a session of `graph` with the weights in the file at `weightsPath`, which is mapped while the runtime packs them
 * and not needed afterwards. Blocks the thread meanwhile.
 */
export function createRuntimeSession(
  graph: OnnxGraph,
  weightsPath: string,
  threads: number,
): Promise<InferenceSession> {
  return InferenceSession.create(encodeOnnxModel(graph, basename(weightsPath)), {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    // An arena keeps the largest prefill's scratch for good, once a block; patterns are kept for every input length.
    enableCpuMemArena: false,
    enableMemPattern: false,
    logSeverityLevel: 4,
    extra: {
      session: {
        model_external_initializers_file_folder_path: dirname(weightsPath),
        // Threads wait awake for the next product of a run, and sleep between runs: an idle host burns nothing.
        force_spinning_stop: '1',
      },
      // float16 weights stay so: folded, their casts to float32 would be kept instead of them.
      optimization: { disable_specified_optimizers: 'ConstantFolding' },
    },
  })
}
