import type { CalibratedMachine, Calibration, EngineOverride } from './calibration.ts'

export interface StoredCalibrations {
  /** Outlives changes of the machine: it is the owner's word, not a measurement. */
  readonly override: EngineOverride | null
  /** The latest first. */
  readonly calibrations: readonly Calibration[]
}

export interface CalibrationStore {
  /** Calibrations measured on another machine, or with other runtimes, are left out. */
  read(machine: CalibratedMachine): Promise<StoredCalibrations>
  write(machine: CalibratedMachine, stored: StoredCalibrations): Promise<void>
}
