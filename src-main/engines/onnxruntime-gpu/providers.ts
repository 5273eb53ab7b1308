/** onnxruntime's GPU providers: what each is called here, what it can do, and how a session asks for it. */
import type { InferenceSession } from 'onnxruntime-node'
import type { WeightFormat } from '#core/ports/engine.ts'

export const gpuProviders = ['webgpu', 'cuda', 'dml', 'coreml'] as const
export type GpuProvider = (typeof gpuProviders)[number]

export interface ProviderTraits {
  /** Names it in numerics classes, settings and calibrations. */
  readonly backend: string
  /** What it has kernels for, by its documentation; a probe finds what it does on this machine. */
  readonly formats: readonly WeightFormat[]
  /** Its kernels take inputs of no rows, so a block's products and `finish` can be one graph with one copy of the weights. */
  readonly takesNoRows: boolean
  readonly option: InferenceSession.ExecutionProviderConfig
}

/**
 * float16 is left out: products of float16 weights with float32 activations would convert all weights in every call, and
 * float16 activations overflow in some models' residual stream.
 */
export const providerTraits: Readonly<Record<GpuProvider, ProviderTraits>> = {
  webgpu: {
    backend: 'onnxruntime-webgpu',
    formats: ['float32', 'int8', 'int4'],
    takesNoRows: true,
    // Faults of the driver become errors instead of crashes.
    option: { name: 'webgpu', validationMode: 'basic' },
  },
  cuda: {
    backend: 'onnxruntime-cuda',
    formats: ['float32', 'int8', 'int4'],
    takesNoRows: true,
    option: { name: 'cuda', deviceId: 0 },
  },
  dml: {
    backend: 'onnxruntime-directml',
    formats: ['float32', 'int4'],
    takesNoRows: false,
    option: { name: 'dml', deviceId: 0 },
  },
  coreml: {
    backend: 'onnxruntime-coreml',
    formats: ['float32'],
    takesNoRows: false,
    // COREML_FLAG_CREATE_MLPROGRAM and COREML_FLAG_USE_CPU_AND_GPU: the neural engine would compute in float16.
    option: { name: 'coreml', coreMlFlags: 0x010 | 0x020 },
  },
}
