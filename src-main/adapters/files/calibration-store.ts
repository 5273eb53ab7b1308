/**
 * Measurements of this machine as one JSON file, replaced as a whole. Those of another machine (a disk that moved, a GPU that
 * was added, runtimes of another version) are left out; a file that does not fit its schema is refused, not reset, as it
 * holds the owner's word too.
 */
import * as z from 'zod'
import {
  calibrationSchema,
  engineOverrideSchema,
  isSameMachine,
  keptCalibrations,
  machineSchema,
} from '#core/calibration/calibration.ts'
import type { CalibrationStore } from '#core/calibration/calibration-store.ts'
import { atomicWrite } from './atomic-write.ts'
import { readJsonFile } from './json-file.ts'

const fileSchema = z.strictObject({
  formatVersion: z.literal(1),
  machine: machineSchema,
  override: engineOverrideSchema.nullable(),
  calibrations: z.array(calibrationSchema).max(keptCalibrations),
})

export function createCalibrationStore({ file }: { readonly file: string }): CalibrationStore {
  return {
    async read(machine) {
      const stored = await readJsonFile(file, fileSchema)
      if (stored === null) return { override: null, calibrations: [] }
      const { override, calibrations } = stored
      return { override, calibrations: isSameMachine(stored.machine, machine) ? calibrations : [] }
    },
    async write(machine, { override, calibrations }) {
      const content = { formatVersion: 1, machine, override, calibrations }
      await atomicWrite(file, `${JSON.stringify(content, null, 2)}\n`)
    },
  }
}
