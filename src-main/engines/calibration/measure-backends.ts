/**
 * Measures backends with one random block of a model's real shape: no model is needed, and the memory in use is one block's.
 * Speeds are those of the block's products, which is where backends differ; the rest of a block is the same for all.
 */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { Device } from '#core/calibration/backend-listing.ts'
import { blockShapeOf, type Calibration, type Measurement } from '#core/calibration/calibration.ts'
import { EngineFailedError } from '#core/errors.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import { type ExpectedProducts, expectProducts } from '../shared/check-products.ts'
import type { LinearBackend } from '../shared/linear-backend.ts'
import { createRandomBlock } from '../shared/random-block.ts'
import { measureOne } from './measure-one.ts'

/** A backend that works on this machine, with the formats that do. */
export interface MeasurableBackend {
  readonly backend: string
  readonly device: Device
  readonly formats: readonly WeightFormat[]
  create(): Promise<LinearBackend>
}

export interface MeasureComponents {
  readonly backends: readonly MeasurableBackend[]
  /** Milliseconds since 1970, for the record. */
  readonly now: () => number
  /** Milliseconds of a clock that never jumps. */
  readonly monotonicNow: () => number
}

export interface MeasureOptions {
  readonly config: ModelConfig
  readonly threads: number
  /** For one block in any format; formats that need more are recorded as such. No limit when left out. */
  readonly memoryBytes?: number
  /** For running, loading aside; shared by all. */
  readonly timeMs?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: MeasureProgress) => void
}

export interface MeasureProgress {
  readonly backend: string
  readonly format: WeightFormat
  readonly done: number
  readonly total: number
}

const usualTimeMs = 6_000
const checkedRows = 2

/** One after the other, so that none slows another down. Rejects only when aborted; a backend that fails is a measurement. */
export async function measureBackends(components: MeasureComponents, options: MeasureOptions): Promise<Calibration> {
  const { config, threads, timeMs = usualTimeMs, signal } = options
  const tasks = components.backends.flatMap((backend) => backend.formats.map((format) => ({ backend, format })))
  const expected = await expectProducts(createRandomBlock(config), checkedRows, signal ? { signal } : {})
  const measurements: Measurement[] = []
  for (const [done, { backend, format }] of tasks.entries()) {
    signal?.throwIfAborted()
    options.onProgress?.({ backend: backend.backend, format, done, total: tasks.length })
    const outcome = await measureFormat(components, options, backend, format, expected, timeMs / tasks.length)
    measurements.push({ backend: backend.backend, device: backend.device, format, outcome })
  }
  return { shape: blockShapeOf(config), threads, measuredAtMs: components.now(), measurements }
}

async function measureFormat(
  { monotonicNow }: MeasureComponents,
  { config, threads, memoryBytes, signal }: MeasureOptions,
  backend: MeasurableBackend,
  format: WeightFormat,
  expected: ExpectedProducts,
  timeMs: number,
): Promise<Measurement['outcome']> {
  const neededBytes = estimatedBytes(config, format)
  if (memoryBytes !== undefined && neededBytes > memoryBytes) {
    return failed('not-enough-memory', `one block takes about ${Math.round(neededBytes)} bytes`)
  }
  try {
    const linear = await backend.create()
    return await measureOne({ linear, format, config, threads, expected, timeMs, monotonicNow, signal })
  } catch (error) {
    signal?.throwIfAborted()
    return failed('failed', whyOf(error))
  }
}

function whyOf(error: unknown): string {
  if (error instanceof EngineFailedError) return String(error.params['why'])
  return error instanceof Error ? error.message : String(error)
}

function failed(reason: 'not-enough-memory' | 'failed', detail: string): Measurement['outcome'] {
  return { kind: 'failed', reason, detail: detail.slice(0, 500) }
}

const bytesPerWeight: Readonly<Record<WeightFormat, number>> = { float32: 4, float16: 2, int8: 1.04, int4: 0.63 }

/** The weights, and the largest tensor as it is read and once more as it is converted. */
function estimatedBytes(
  { hiddenSize, intermediateSize, headCount, kvHeadCount, headSize }: ModelConfig,
  format: WeightFormat,
) {
  const attention = hiddenSize * headSize * (2 * headCount + 2 * kvHeadCount)
  const feedForward = 3 * hiddenSize * intermediateSize
  const largest = hiddenSize * Math.max(intermediateSize, headCount * headSize)
  return (attention + feedForward) * bytesPerWeight[format] + 2 * 4 * largest
}
