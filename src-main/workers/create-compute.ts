/** What computes, by the backend's name. Modules are loaded when they are wanted: some are tens of megabytes of native code. */
import { createWeightCache } from '#adapters/files/weight-cache.ts'
import type { Engine } from '#core/ports/engine.ts'
import type { TrainingEngine } from '#core/ports/training-engine.ts'
import { knownBackend } from '#engines/catalogue/known-backends.ts'
import type { ComputeOptions } from './compute-options.ts'

export interface Compute {
  readonly engine: Engine
  /** Null for backends that only run models. */
  readonly training: TrainingEngine | null
}

/** Throws `RangeError` for a backend that this build does not know. */
export async function createCompute({ backend, preparedWeights }: ComputeOptions): Promise<Compute> {
  if (backend === 'reference') {
    const { createReferenceEngine } = await import('#engines/reference/reference-engine.ts')
    return { engine: createReferenceEngine(), training: null }
  }
  const known = knownBackend(backend)
  const linear = await known.create({ weightCache: createWeightCache(preparedWeights) })
  const { createBlockEngine } = await import('#engines/blocks/block-engine.ts')
  return { engine: createBlockEngine(linear), training: known.trains ? await createTraining() : null }
}

async function createTraining(): Promise<TrainingEngine> {
  const { createTrainingEngine } = await import('#engines/training/training-engine.ts')
  return createTrainingEngine()
}
