/**
 * What a node computes with, faked around one real engine: two backends of that name and that one, a choice and a
 * calibration as the product makes them, measurements that take no time, and failures when a test says so.
 */
import type { MeasureProgress } from '#app/calibration.ts'
import { type Calibrator, createCalibrator } from '#app/calibration.ts'
import { createCompute } from '#app/compute.ts'
import type { EngineSurvey, SurveyedBackend } from '#app/engines.ts'
import { EngineFailedError } from '#core/errors.ts'
import type { Compute } from '#core/ports/compute.ts'
import type { Engine } from '#core/ports/engine.ts'
import {
  aCalibration,
  aMeasurement,
  createInMemoryCalibrationStore,
  someMachine,
} from '#test/fakes/in-memory-calibration.ts'

export interface FakeEngines {
  readonly compute: Compute
  readonly survey: EngineSurvey
  readonly calibrator: Calibrator
  /** How often the backends were measured. */
  readonly measured: () => number
  /** What engines were asked for, in order. */
  readonly started: readonly string[]
  /** Breaks an engine, as its worker would. */
  fail(backend: string): void
}

export const usualBackend = 'onnxruntime-cpu'
export const otherBackend = 'tfjs-wasm'

const backends: readonly SurveyedBackend[] = [
  { backend: usualBackend, device: 'cpu', formats: ['float32'], availability: { kind: 'available' } },
  { backend: otherBackend, device: 'cpu', formats: ['float32'], availability: { kind: 'available' } },
  {
    backend: 'tfjs-node',
    device: 'cpu',
    formats: ['float32'],
    availability: { kind: 'unavailable', reason: 'not-installed', params: { package: '@tensorflow/tfjs-node' } },
  },
]

export function createFakeEngines(
  engine: Engine,
  /** Called before each measurement; what a slow machine would wait for. */
  beforeMeasuring: (signal: AbortSignal | undefined) => Promise<void> = async () => {},
): FakeEngines {
  const listeners = new Set<(backend: string, error: Error) => void>()
  const started: string[] = []
  let measured = 0
  const calibrator = createCalibrator({
    store: createInMemoryCalibrationStore(),
    machine: async () => someMachine,
    async measure({ config, threads, signal, onProgress }) {
      measured += 1
      for (const [done, backend] of [usualBackend, otherBackend].entries()) {
        const progress: MeasureProgress = { backend, format: 'float32', done, total: 2 }
        onProgress?.(progress)
        await beforeMeasuring(signal)
      }
      return aCalibration(config, threads, [aMeasurement(usualBackend, 900), aMeasurement(otherBackend, 300)])
    },
  })
  const compute = createCompute(
    {
      calibrator,
      gpuBytes: async () => null,
      residentBytes: async () => 0,
      async engine(backend) {
        started.push(backend)
        return engine
      },
      onFailure(listener) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    },
    { usualBackend },
  )
  return {
    compute,
    calibrator,
    survey: { calibrator, listBackends: async () => backends },
    measured: () => measured,
    started,
    fail(backend) {
      for (const listener of [...listeners]) listener(backend, new EngineFailedError(backend, 'its worker ended'))
    },
  }
}
