/** Every backend this build knows. Their modules are loaded when one is created: some are tens of megabytes of native code. */
import type { Device } from '#core/calibration/backend-listing.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import type { WeightCache } from '#core/ports/weight-cache.ts'
import type { LinearBackend } from '../shared/linear-backend.ts'

export interface BackendComponents {
  readonly weightCache: WeightCache
}

export interface KnownBackend {
  readonly backend: string
  readonly device: Device
  readonly formats: readonly WeightFormat[]
  /** The package that must be there. */
  readonly package: string
  /** Of `process.platform`; all when left out. */
  readonly platforms?: readonly NodeJS.Platform[]
  /** It comes with this build and needs no driver, so it need not be tried in a process of its own. */
  readonly builtIn?: true
  /** Whether it trains too (`engines/training`). */
  readonly trains?: true
  create(components: BackendComponents): Promise<LinearBackend>
}

/** In the order in which equals are preferred. */
export const knownBackends: readonly KnownBackend[] = [
  {
    backend: 'onnxruntime-cpu',
    device: 'cpu',
    formats: ['float32', 'float16', 'int8', 'int4'],
    package: 'onnxruntime-node',
    builtIn: true,
    trains: true,
    async create(components) {
      const { createOnnxruntimeBackend } = await import('../onnxruntime/onnxruntime-backend.ts')
      return createOnnxruntimeBackend(components)
    },
  },
  onnxruntimeGpu('onnxruntime-cuda', 'cuda', ['float32', 'int8', 'int4'], ['linux', 'win32']),
  onnxruntimeGpu('onnxruntime-directml', 'dml', ['float32', 'int4'], ['win32']),
  onnxruntimeGpu('onnxruntime-coreml', 'coreml', ['float32'], ['darwin']),
  onnxruntimeGpu('onnxruntime-webgpu', 'webgpu', ['float32', 'int8', 'int4'], ['linux', 'win32', 'darwin']),
  tfjs('tfjs-cuda', 'gpu', 'gpu', '@tensorflow/tfjs-node-gpu'),
  tfjs('tfjs-node', 'node', 'cpu', '@tensorflow/tfjs-node'),
  { ...tfjs('tfjs-wasm', 'wasm', 'cpu', '@tensorflow/tfjs-backend-wasm'), builtIn: true },
]

/** Throws `RangeError` for a name that no backend has. */
export function knownBackend(name: string): KnownBackend {
  const known = knownBackends.find(({ backend }) => backend === name)
  if (known === undefined) throw new RangeError(`no backend ${name}`)
  return known
}

function onnxruntimeGpu(
  backend: string,
  provider: 'webgpu' | 'cuda' | 'dml' | 'coreml',
  formats: readonly WeightFormat[],
  platforms: readonly NodeJS.Platform[],
): KnownBackend {
  return {
    backend,
    device: 'gpu',
    formats,
    package: 'onnxruntime-node',
    platforms,
    async create(components) {
      const { createOnnxruntimeGpuBackend } = await import('../onnxruntime-gpu/onnxruntime-gpu-backend.ts')
      return createOnnxruntimeGpuBackend(components, provider)
    },
  }
}

function tfjs(backend: string, platform: 'wasm' | 'node' | 'gpu', device: Device, packageName: string): KnownBackend {
  return {
    backend,
    device,
    formats: ['float32'],
    package: packageName,
    async create() {
      const { createTfjsBackend } = await import('../tfjs/tfjs-backend.ts')
      return createTfjsBackend(platform)
    },
  }
}
