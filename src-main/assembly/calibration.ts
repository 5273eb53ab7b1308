/** Builds what measures this machine's backends and chooses one, the same way for both shells. */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createCalibrationStore } from '#adapters/files/calibration-store.ts'
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createTemporaryWeightCache } from '#adapters/files/weight-cache.ts'
import { createHardwareProbe } from '#adapters/hardware/hardware-probe.ts'
import { type Calibrator, createCalibrator } from '#app/calibration.ts'
import type { EngineSurvey } from '#app/engines.ts'
import type { Gpu, HardwareProfile, Policy } from '#contracts/api/hardware.ts'
import { decideBudget } from '#core/budget/decide-budget.ts'
import { defaultPolicy } from '#core/budget/default-policy.ts'
import type { BackendListing } from '#core/calibration/backend-listing.ts'
import type { CalibratedMachine } from '#core/calibration/calibration.ts'
import type { ChooseInput } from '#core/calibration/choose-engine.ts'
import { createSerialQueue } from '#core/serial-queue.ts'
import { measureBackends } from '#engines/calibration/measure-backends.ts'
import { type BackendCatalogue, createBackendCatalogue } from '#engines/catalogue/backend-catalogue.ts'
import { knownBackends } from '#engines/catalogue/known-backends.ts'
import packageFile from '../../package.json' with { type: 'json' }

/** What is given before the owner has said anything. */
export const usualPolicy: Policy = defaultPolicy

/** As many as the budget gives to hosting. */
export function usualThreads({ threadShare }: Policy): number {
  return Math.max(1, Math.floor(availableParallelism() * threadShare))
}

export interface AssembledCalibrator extends Calibrator {
  /** What the last measurement in this process found of each backend; empty before. */
  listings(): readonly BackendListing[]
  /** Every backend; tried first, with `look`, unless that was done in this process. */
  listBackends: EngineSurvey['listBackends']
  /** Memory for weights that the machine has by `policy`, and its GPU's. */
  memory(policy: Policy): Promise<ChooseInput['memory']>
}

/** Measurements belong to the machine, so all profiles of a home share them. */
export function assembleCalibrator(directory: DataDirectory): AssembledCalibrator {
  const probe = createHardwareProbe({ dataDirectory: directory.home, clock: systemClock })
  // Random weights are of no use afterwards.
  const catalogue = createBackendCatalogue({ weightCache: createTemporaryWeightCache() })
  const looks = createSerialQueue()
  let listings: readonly BackendListing[] = []
  const calibrator = createCalibrator({
    store: createCalibrationStore({ file: join(directory.home, 'calibration.json') }),
    machine: async (options) => describeMachine(await probe.measure(options)),
    async measure(request) {
      listings = await catalogue.listBackends(request.signal ? { signal: request.signal } : {})
      const { memory } = await probe.measure(request.signal ? { signal: request.signal } : {})
      const components = {
        backends: usable(catalogue, listings),
        now: systemClock.now,
        monotonicNow: () => performance.now(),
      }
      return await measureBackends(components, { ...request, memoryBytes: memory.availableBytes })
    },
  })
  return {
    ...calibrator,
    listings: () => listings,
    async listBackends({ look, signal }) {
      if (look) {
        await looks.add(async () => {
          if (listings.length === 0) listings = await catalogue.listBackends(signal ? { signal } : {})
        })
      }
      return listings.length > 0 ? listings : knownBackends.map(untried)
    },
    async memory(policy) {
      const profile = await probe.measure()
      const { memoryLimitBytes } = decideBudget(profile, policy, null, { pausedByOwner: false })
      return { machineBytes: memoryLimitBytes, gpuBytes: largestGpu(profile) }
    },
  }
}

function untried({ backend, device, formats }: (typeof knownBackends)[number]) {
  return { backend, device, formats, availability: null }
}

function usable(catalogue: BackendCatalogue, listings: readonly BackendListing[]) {
  return listings
    .filter(({ availability }) => availability.kind === 'available')
    .map(({ backend, device, formats }) => ({
      backend,
      device,
      formats,
      create: () => catalogue.createBackend(backend),
    }))
}

/** What measurements depend on; free memory and the like come and go. */
export function describeMachine({ platform, cpu, memory, gpus }: HardwareProfile): CalibratedMachine {
  const { 'onnxruntime-node': onnxruntime, '@tensorflow/tfjs-core': tensorflow } = packageFile.dependencies
  return {
    platform,
    cpuModel: cpu.model,
    logicalCores: cpu.logicalCores,
    memoryBytes: memory.totalBytes,
    gpus: gpus.map(nameOf).sort(),
    runtimes: { quiltbee: packageFile.version, node: process.versions.node, onnxruntime, tensorflow },
  }
}

function nameOf({ vendor, model, driver }: Gpu): string {
  return [vendor, model, driver]
    .filter((part) => part !== null)
    .join(' ')
    .slice(0, 512)
}

function largestGpu({ gpus }: HardwareProfile): number | null {
  const sizes = gpus.flatMap(({ memoryBytes }) => (memoryBytes === null ? [] : [memoryBytes]))
  return sizes.length === 0 ? null : Math.max(...sizes)
}
