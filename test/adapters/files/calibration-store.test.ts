import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCalibrationStore } from '#adapters/files/calibration-store.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import type { CalibratedMachine, Calibration } from '#core/calibration/calibration.ts'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quiltbee-calibration-'))
  file = join(folder, 'calibration.json')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const machine: CalibratedMachine = {
  platform: 'linux',
  cpuModel: 'A processor',
  logicalCores: 2,
  memoryBytes: 2 ** 34,
  gpus: [],
  runtimes: { node: '24.0.0' },
}
const calibration: Calibration = {
  shape: { hiddenSize: 8, intermediateSize: 16, headCount: 2, kvHeadCount: 1, headSize: 4 },
  threads: 2,
  measuredAtMs: 5,
  measurements: [
    { backend: 'b', device: 'gpu', format: 'int8', outcome: { kind: 'failed', reason: 'failed', detail: 'lost' } },
  ],
}
const stored = { override: { backend: 'b', format: null }, calibrations: [calibration] }

describe('the store of calibrations', () => {
  it('is empty at first', async () => {
    expect(await createCalibrationStore({ file }).read(machine)).toEqual({ override: null, calibrations: [] })
  })

  it('gives back what was written', async () => {
    await createCalibrationStore({ file }).write(machine, stored)
    expect(await createCalibrationStore({ file }).read(machine)).toEqual(stored)
  })

  it("leaves out another machine's measurements and keeps the owner's word", async () => {
    const store = createCalibrationStore({ file })
    await store.write(machine, stored)
    const changed = { ...machine, runtimes: { node: '26.0.0' } }
    expect(await store.read(changed)).toEqual({ override: stored.override, calibrations: [] })
  })

  it.each([
    ['not JSON', '{'],
    ['another version', '{"formatVersion":2}'],
    [
      'a calibration that lacks its parts',
      JSON.stringify({ formatVersion: 1, machine, override: null, calibrations: [{}] }),
    ],
  ])('refuses a file of %s by name, and leaves it as it is', async (_what, text) => {
    writeFileSync(file, text)
    const reading = createCalibrationStore({ file }).read(machine)
    await expect(reading).rejects.toThrow(InvalidInputError)
    await expect(reading).rejects.toThrow(file)
    expect(readFileSync(file, 'utf8')).toBe(text)
  })
})
