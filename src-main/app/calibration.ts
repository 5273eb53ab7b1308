/**
 * Which engine this machine computes with: measured once for each shape of block and number of threads, kept, and chosen
 * from; the owner may say otherwise.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import {
  blockShapeOf,
  type CalibratedMachine,
  type Calibration,
  type EngineOverride,
  findCalibration,
  withCalibration,
} from '#core/calibration/calibration.ts'
import type { CalibrationStore } from '#core/calibration/calibration-store.ts'
import { type ChooseInput, chooseEngine, type EngineChoice } from '#core/calibration/choose-engine.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import { createSerialQueue } from '#core/serial-queue.ts'

export type { Calibration, EngineOverride, Measurement } from '#core/calibration/calibration.ts'
export type { ChoiceReason, EngineChoice } from '#core/calibration/choose-engine.ts'

export interface MeasureProgress {
  readonly backend: string
  readonly format: WeightFormat
  readonly done: number
  readonly total: number
}

export interface CalibrationRequest {
  readonly config: ModelConfig
  readonly threads: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: MeasureProgress) => void
}

export interface CalibratorComponents {
  readonly store: CalibrationStore
  /** The machine as it is now. */
  readonly machine: (options: { signal?: AbortSignal }) => Promise<CalibratedMachine>
  /** Seconds; rejects only when aborted. */
  readonly measure: (request: CalibrationRequest) => Promise<Calibration>
}

export interface Calibrator {
  /** What is kept for this shape and number of threads, still valid; null when nothing is. */
  current(request: Omit<CalibrationRequest, 'onProgress'>): Promise<Calibration | null>
  /** Measures now, and keeps the result. */
  measure(request: CalibrationRequest): Promise<Calibration>
  /** Chooses from what is kept, or measures first. */
  choose(request: CalibrationRequest & Pick<ChooseInput, 'memory' | 'blocks'>): Promise<{
    readonly choice: EngineChoice
    readonly calibration: Calibration
    readonly override: EngineOverride | null
  }>
  override(): Promise<EngineOverride | null>
  /** Null: what was measured decides again. */
  setOverride(override: EngineOverride | null): Promise<void>
}

/** Calls are carried out one after the other: two measurements at once would slow each other down. */
export function createCalibrator({ store, machine, measure }: CalibratorComponents): Calibrator {
  const queue = createSerialQueue()

  async function find({ config, threads, signal }: CalibrationRequest) {
    const here = await machine(signal ? { signal } : {})
    const stored = await store.read(here)
    const calibration = findCalibration(stored.calibrations, blockShapeOf(config), threads)
    return { here, stored, calibration }
  }

  async function measureAndKeep(request: CalibrationRequest): Promise<Calibration> {
    // A file that cannot be read or written is better known before the seconds are spent.
    const { here, stored } = await find(request)
    const calibration = await measure(request)
    await store.write(here, { ...stored, calibrations: withCalibration(stored.calibrations, calibration) })
    return calibration
  }

  return {
    current: async (request) => (await find(request)).calibration,
    measure: (request) => queue.add(() => measureAndKeep(request)),
    choose: (request) =>
      queue.add(async () => {
        const { stored, calibration: kept } = await find(request)
        const calibration = kept ?? (await measureAndKeep(request))
        const { override } = stored
        const { memory, blocks } = request
        return { choice: chooseEngine({ calibration, override, memory, blocks }), calibration, override }
      }),
    override: async () => (await store.read(await machine({}))).override,
    setOverride: (override) =>
      queue.add(async () => {
        const here = await machine({})
        await store.write(here, { ...(await store.read(here)), override })
      }),
  }
}
