/**
 * Chooses what to compute a model with. Small models run exactly, in float32: they fit and are fast anyway, and nodes that
 * all round alike give one text. For others this machine is measured, once, and the owner may say otherwise.
 */
import type { ModelManifest } from '#contracts/model/manifest.ts'
import { EngineFailedError } from '#core/errors.ts'
import { modelWeightBytes } from '#core/models/block-size.ts'
import type { Compute, EngineInUse } from '#core/ports/compute.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import type { Calibrator } from './calibration.ts'

export interface ComputeComponents extends Pick<Compute, 'engine' | 'onFailure' | 'residentBytes'> {
  readonly calibrator: Calibrator
  /** Of the GPU, where there is one. */
  readonly gpuBytes: () => Promise<number | null>
}

export interface ComputeInit {
  /** The backend for small models. */
  readonly usualBackend: string
  /** Asked for by hand for this run. */
  readonly format?: WeightFormat
}

/** float32 weights up to here are not worth rounding. */
export const smallModelBytes = 256 * 1024 ** 2

export function createCompute(components: ComputeComponents, init: ComputeInit): Compute {
  const { calibrator } = components
  return {
    engine: components.engine,
    onFailure: components.onFailure,
    residentBytes: components.residentBytes,
    async choose(manifest, request) {
      const { usualBackend, format } = init
      if (format !== undefined) return { backend: usualBackend, format, why: 'asked-for' }
      if (isSmall(manifest) && (await calibrator.override()) === null) {
        return { backend: usualBackend, format: 'float32', why: 'small-model' }
      }
      const { threads, memoryBytes, signal, onMeasuring } = request
      const { choice } = await calibrator.choose({
        config: manifest.config,
        threads,
        memory: { machineBytes: memoryBytes, gpuBytes: await components.gpuBytes() },
        blocks: manifest.config.blockCount,
        ...(signal && { signal }),
        ...(onMeasuring && { onProgress: onMeasuring }),
      })
      if (choice.kind === 'none') throw new EngineFailedError('every backend', choice.why)
      return { backend: choice.backend, format: choice.format, why: choice.why } satisfies EngineInUse
    },
  }
}

function isSmall({ config }: ModelManifest): boolean {
  return modelWeightBytes(config, 'float32') <= smallModelBytes
}
