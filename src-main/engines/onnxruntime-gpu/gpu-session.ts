import { basename, dirname } from 'node:path'
import { InferenceSession } from 'onnxruntime-node'
import { EngineFailedError } from '#core/errors.ts'
import { encodeOnnxModel, type OnnxGraph } from '../shared/onnx-model.ts'
import { forGpu } from './provider-graph.ts'
import { type GpuProvider, providerTraits } from './providers.ts'

/**
 * A session of `graph` on a GPU, with the weights in the file at `weightsPath`, which is not needed afterwards. Throws
 * `EngineFailedError` when the provider is not there, or would leave a part of the graph to the processor.
 */
export async function createGpuSession(
  provider: GpuProvider,
  graph: OnnxGraph,
  weightsPath: string,
): Promise<InferenceSession> {
  const { backend, option } = providerTraits[provider]
  // CUDA's kernels would round float32 factors to 10 bits of fraction (TF32) on newer GPUs.
  if (provider === 'cuda') process.env['NVIDIA_TF32_OVERRIDE'] ??= '0'
  try {
    return await InferenceSession.create(encodeOnnxModel(forGpu(graph), basename(weightsPath)), {
      executionProviders: [option],
      // DirectML takes no other; for the others both are settings of the processor's part, which is empty.
      executionMode: 'sequential',
      enableMemPattern: false,
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 4,
      extra: {
        session: {
          model_external_initializers_file_folder_path: dirname(weightsPath),
          disable_cpu_ep_fallback: '1',
        },
      },
    })
  } catch (cause) {
    throw new EngineFailedError(backend, firstLine(cause), { cause })
  }
}

/** The runtime's messages begin with the place in its source and the condition, and may go on for pages. */
export function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return (message.split('\n', 1)[0] ?? '').replace(/^\/\S+\.(?:cc|h):\d+ .* was false\. /, '').slice(0, 300)
}
