import { describe, expect, it } from 'vitest'
import {
  blockShapeOf,
  type CalibratedMachine,
  type Calibration,
  calibrationSchema,
  findCalibration,
  isSameMachine,
  keptCalibrations,
  withCalibration,
} from '#core/calibration/calibration.ts'
import { tinyConfig } from '#test/fakes/model-handle.ts'

const machine: CalibratedMachine = {
  platform: 'linux',
  cpuModel: 'A processor',
  logicalCores: 2,
  memoryBytes: 2 ** 34,
  gpus: ['one', 'other'],
  runtimes: { node: '24.0.0', 'onnxruntime-node': '1.30.0' },
}
const shape = blockShapeOf(tinyConfig())

function calibration(changes: Partial<Calibration> = {}): Calibration {
  return { shape, threads: 2, measuredAtMs: 1, measurements: [], ...changes }
}

describe('a machine', () => {
  it('is the same whatever the order of its parts', () => {
    const runtimes = { 'onnxruntime-node': '1.30.0', node: '24.0.0' }
    expect(isSameMachine(machine, { ...machine, gpus: ['other', 'one'], runtimes })).toBe(true)
  })

  it.each([
    { cpuModel: null },
    { logicalCores: 4 },
    { memoryBytes: 2 ** 33 },
    { gpus: ['one'] },
    { runtimes: { ...machine.runtimes, node: '26.0.0' } },
  ])('is another with %o', (changes) => {
    expect(isSameMachine(machine, { ...machine, ...changes })).toBe(false)
  })
})

describe('kept calibrations', () => {
  const other = calibration({ shape: { ...shape, hiddenSize: 64 } })

  it('are found by shape and threads', () => {
    const kept = [other, calibration({ threads: 1 }), calibration()]
    expect(findCalibration(kept, shape, 2)).toBe(kept[2])
    expect(findCalibration(kept, shape, 8)).toBeNull()
  })

  it('are replaced by newer ones of their kind', () => {
    const newer = calibration({ measuredAtMs: 2 })
    expect(withCalibration([other, calibration()], newer)).toEqual([newer, other])
  })

  it('are not kept without end', () => {
    const many = Array.from({ length: keptCalibrations }, (_, i) => calibration({ threads: i + 3 }))
    expect(withCalibration(many, calibration())).toEqual([calibration(), ...many.slice(0, -1)])
  })

  it('are refused when a number in them is none', () => {
    const measured = {
      kind: 'measured',
      decodeTokensPerSecond: 1,
      decodeBatch8TokensPerSecond: 1,
      prefillTokensPerSecond: 1,
      weightBytes: 1,
      loadSeconds: 0,
      relativeError: 0,
      numericsClass: { backend: 'b', kernelVersion: '1', weights: 'int8', weightGroup: 32, activations: 'int8' },
    }
    const withOutcome = (outcome: unknown) => ({
      ...calibration(),
      measurements: [{ backend: 'b', device: 'cpu', format: 'int8', outcome }],
    })
    expect(calibrationSchema.safeParse(withOutcome(measured)).success).toBe(true)
    for (const changes of [{ decodeTokensPerSecond: 0 }, { relativeError: -1 }, { weightBytes: 1.5 }, { extra: 1 }]) {
      expect(calibrationSchema.safeParse(withOutcome({ ...measured, ...changes })).success).toBe(false)
    }
  })
})
