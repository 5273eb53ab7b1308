/** What the owner sees of this machine's engines, and can say about them: measured, used, wanted. */
import type {
  EngineAvailability,
  EngineBackend,
  EngineMeasureEvent,
  EngineMeasurement,
  EngineOverview,
  EngineWish,
} from '#contracts/api/engine.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import type { ModelConfig, ModelManifest } from '#contracts/model/manifest.ts'
import { lentThreads } from '#core/budget/decide-budget.ts'
import type { Availability, BackendListing } from '#core/calibration/backend-listing.ts'
import type { Calibration, Measurement } from '#core/calibration/calibration.ts'
import { errorBounds } from '#core/calibration/choose-engine.ts'
import type { EngineInUse } from '#core/ports/compute.ts'
import type { HardwareProbe } from '#core/ports/hardware-probe.ts'
import type { ModelStore } from '#core/ports/model-store.ts'
import type { SettingsStore } from '#core/ports/settings-store.ts'
import type { Calibrator } from './calibration.ts'
import { failureOf } from './failure.ts'
import type { Hosting } from './hosting.ts'
import { workEvents } from './work-events.ts'

export interface EngineSurvey {
  readonly calibrator: Calibrator
  /** Every backend of this build. With `look` those not tried since the start are tried first, which takes seconds. */
  listBackends(options: { readonly look: boolean; readonly signal?: AbortSignal }): Promise<readonly SurveyedBackend[]>
}

/** Null: not tried since the start. */
export interface SurveyedBackend extends Omit<BackendListing, 'availability'> {
  readonly availability: Availability | null
}

export interface EnginesComponents {
  readonly engines: EngineSurvey
  readonly hosting: Pick<Hosting, 'manifest' | 'profile' | 'engine'>
  readonly models: ModelStore
  readonly probe: HardwareProbe
  readonly settings: SettingsStore
}

export interface EnginesInit {
  /** Name or digest of the model to host. */
  readonly model: string
  /** Called when another engine than now may be the one to use. */
  readonly onChange: () => void
}

export interface Engines {
  overview(options: { look: boolean; signal?: AbortSignal }): Promise<EngineOverview>
  measure(signal?: AbortSignal): AsyncGenerator<EngineMeasureEvent, void, undefined>
  /** Throws `invalid-input` for what this build does not have. */
  choose(wish: EngineWish | null): Promise<EngineOverview>
}

export function createEngines(components: EnginesComponents, { model, onChange }: EnginesInit): Engines {
  const { hosting, models, probe, settings } = components
  const { calibrator, listBackends } = components.engines

  /** Also while nothing is hosted. */
  async function hostedModel(): Promise<ModelManifest> {
    const known = hosting.manifest()
    if (known !== null) return known
    const handle = await models.open(model)
    await handle.close()
    return handle.manifest
  }

  async function threads(): Promise<number> {
    const { policy } = await settings.read()
    return lentThreads(hosting.profile() ?? (await probe.measure()), policy)
  }

  async function overview({ look, signal }: { look: boolean; signal?: AbortSignal }): Promise<EngineOverview> {
    const stop = signal && { signal }
    const manifest = await hostedModel()
    const subject = { config: manifest.config, threads: await threads() }
    return describe({
      backends: await listBackends({ look, ...stop }),
      calibration: await calibrator.current({ ...subject, ...stop }),
      override: await calibrator.override(),
      inUse: hosting.engine(),
      manifest,
      threads: subject.threads,
    })
  }

  async function measureAndTell(tell: (event: EngineMeasureEvent) => void, signal: AbortSignal): Promise<void> {
    tell({ type: 'looking' })
    const { config } = await hostedModel()
    const onProgress = (progress: Omit<Extract<EngineMeasureEvent, { type: 'progress' }>, 'type'>): void =>
      tell({ type: 'progress', ...progress })
    await calibrator.measure({ config, threads: await threads(), signal, onProgress })
    onChange()
    tell({ type: 'done', overview: await overview({ look: false, signal }) })
  }

  return {
    overview,
    measure: (signal) =>
      workEvents<EngineMeasureEvent>(async (tell, stop) => {
        try {
          await measureAndTell(tell, stop)
        } catch (error) {
          if (!stop.aborted) tell({ type: 'error', ...failureOf(error) })
        }
      }, signal),
    async choose(wish) {
      if (wish !== null) checkWish(wish, await listBackends({ look: false }))
      await calibrator.setOverride(wish)
      onChange()
      return await overview({ look: false })
    },
  }
}

function checkWish({ backend, format }: EngineWish, backends: readonly SurveyedBackend[]): void {
  const known = backends.find((one) => one.backend === backend)
  if (known === undefined) throw new InvalidInputError('backend', `this build has no ${backend}`)
  if (format === null || known.formats.includes(format)) return
  throw new InvalidInputError('format', `${backend} holds no weights as ${format}`)
}

interface Facts {
  readonly backends: readonly SurveyedBackend[]
  readonly calibration: Calibration | null
  readonly override: EngineWish | null
  readonly inUse: EngineInUse | null
  readonly manifest: ModelManifest
  readonly threads: number
}

function describe({ backends, calibration, override, inUse, manifest, threads }: Facts): EngineOverview {
  const { name, config } = manifest
  return {
    inUse,
    override,
    model: name,
    blockCount: config.blockCount,
    threads,
    measuredAtMs: calibration?.measuredAtMs ?? null,
    backends: backends.map((backend) => describeBackend(backend, calibration, config)),
  }
}

function describeBackend(
  { backend, device, formats, availability }: SurveyedBackend,
  calibration: Calibration | null,
  config: ModelConfig,
): EngineBackend {
  const own = calibration?.measurements.filter((measurement) => measurement.backend === backend) ?? []
  const measurements = own.map((measurement) => ofWholeModel(measurement, config))
  const ran = own.some(({ outcome }) => outcome.kind === 'measured')
  return { backend, device, formats: [...formats], availability: availabilityOf(availability, ran), measurements }
}

/** What was measured here with the same runtimes works, also before it is tried anew. */
function availabilityOf(availability: Availability | null, ran: boolean): EngineAvailability {
  if (availability === null) return { kind: ran ? 'available' : 'untried' }
  if (availability.kind === 'available') return { kind: 'available' }
  const params = Object.entries(availability.params).map(
    ([name, value]) => [name, typeof value === 'object' ? [...value] : value] as const,
  )
  return { kind: 'unavailable', reason: availability.reason, params: Object.fromEntries(params) }
}

/** A token passes all blocks one after the other. */
function ofWholeModel({ format, outcome }: Measurement, { blockCount }: ModelConfig): EngineMeasurement {
  if (outcome.kind === 'failed') return { format, outcome }
  return {
    format,
    outcome: {
      kind: 'measured',
      decodeTokensPerSecond: outcome.decodeTokensPerSecond / blockCount,
      decodeBatch8TokensPerSecond: outcome.decodeBatch8TokensPerSecond / blockCount,
      prefillTokensPerSecond: outcome.prefillTokensPerSecond / blockCount,
      weightBytes: outcome.weightBytes * blockCount,
      exactEnough: outcome.relativeError <= errorBounds[format],
    },
  }
}
