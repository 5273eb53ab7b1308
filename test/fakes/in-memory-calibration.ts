/** Calibrations without a machine: a store that forgets at the end, and measurements that were never made. */

import type { ModelConfig } from '#contracts/model/manifest.ts'
import {
  blockShapeOf,
  type CalibratedMachine,
  type Calibration,
  isSameMachine,
  type Measurement,
} from '#core/calibration/calibration.ts'
import type { CalibrationStore, StoredCalibrations } from '#core/calibration/calibration-store.ts'
import type { WeightFormat } from '#core/ports/engine.ts'

export const someMachine: CalibratedMachine = {
  platform: 'linux',
  cpuModel: null,
  logicalCores: 2,
  memoryBytes: 100,
  gpus: [],
  runtimes: {},
}

export function createInMemoryCalibrationStore(): CalibrationStore {
  let kept: { machine: CalibratedMachine; stored: StoredCalibrations } | null = null
  return {
    async read(machine) {
      if (kept === null) return { override: null, calibrations: [] }
      return isSameMachine(kept.machine, machine) ? kept.stored : { ...kept.stored, calibrations: [] }
    },
    async write(machine, stored) {
      kept = { machine, stored }
    },
  }
}

/** `decodeTokensPerSecond` is of one block. */
export function aMeasurement(
  backend: string,
  decodeTokensPerSecond: number,
  format: WeightFormat = 'float32',
): Measurement {
  const outcome: Measurement['outcome'] = {
    kind: 'measured',
    decodeTokensPerSecond,
    decodeBatch8TokensPerSecond: decodeTokensPerSecond * 4,
    prefillTokensPerSecond: decodeTokensPerSecond * 6,
    weightBytes: 1000,
    loadSeconds: 0,
    relativeError: 0,
    numericsClass: { backend, kernelVersion: '1', weights: format, weightGroup: null, activations: 'float32' },
  }
  return { backend, device: 'cpu', format, outcome }
}

export function aCalibration(
  config: ModelConfig,
  threads: number,
  measurements: readonly Measurement[],
  measuredAtMs = 1,
): Calibration {
  return { shape: blockShapeOf(config), threads, measuredAtMs, measurements: [...measurements] }
}
