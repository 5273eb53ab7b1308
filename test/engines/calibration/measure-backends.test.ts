import { describe, expect, it } from 'vitest'
import { createTemporaryWeightCache } from '#adapters/files/weight-cache.ts'
import { calibrationSchema } from '#core/calibration/calibration.ts'
import { errorBounds } from '#core/calibration/choose-engine.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import { type MeasurableBackend, measureBackends } from '#engines/calibration/measure-backends.ts'
import { createBackendCatalogue } from '#engines/catalogue/backend-catalogue.ts'
import { productShapes } from '#engines/shared/check-products.ts'
import type { BlockProducts, LinearBackend } from '#engines/shared/linear-backend.ts'
import { tinyConfig } from '#test/fakes/model-handle.ts'

const config = tinyConfig({ hiddenSize: 128, intermediateSize: 256, headCount: 4, headSize: 32 })
const catalogue = createBackendCatalogue({ weightCache: createTemporaryWeightCache() })

function real(backend: string, formats: readonly WeightFormat[]): MeasurableBackend {
  return { backend, device: 'cpu', formats, create: () => catalogue.createBackend(backend) }
}

function fake(
  changes: Partial<BlockProducts> & { load?: () => void } = {},
): MeasurableBackend & { disposed(): number } {
  let disposed = 0
  const shapes = productShapes(config)
  const linear: LinearBackend = {
    backend: 'fake',
    formats: ['float32'],
    numericsClass: (weights) => ({
      backend: 'fake',
      kernelVersion: '1',
      weights,
      weightGroup: null,
      activations: 'float32',
    }),
    async loadBlock() {
      changes.load?.()
      return {
        weightBytes: 100,
        run: async (product, x) => new Float32Array((x.length / shapes[product][1]) * shapes[product][0]),
        floats: () => Promise.reject(new Error('nothing is trained here')),
        dispose: async () => void disposed++,
        ...changes,
      }
    },
    loadHead: () => Promise.reject(new Error('no head is measured')),
  }
  return { backend: 'fake', device: 'gpu', formats: ['float32'], create: async () => linear, disposed: () => disposed }
}

let ticks = 0
const components = { now: () => 1_000, monotonicNow: () => ++ticks }
const request = { config, threads: 1, timeMs: 60 }

describe('measuring backends', () => {
  it('gives speeds, sizes and errors of real ones that the store takes', async () => {
    const backends = [real('onnxruntime-cpu', ['float32', 'int8', 'int4']), real('tfjs-wasm', ['float32'])]
    const calibration = await measureBackends(
      { backends, now: Date.now, monotonicNow: () => performance.now() },
      request,
    )
    expect(calibrationSchema.parse(calibration)).toEqual(calibration)
    expect(calibration.measurements.map(({ backend, format }) => `${backend} ${format}`)).toEqual([
      'onnxruntime-cpu float32',
      'onnxruntime-cpu int8',
      'onnxruntime-cpu int4',
      'tfjs-wasm float32',
    ])
    for (const { format, outcome } of calibration.measurements) {
      if (outcome.kind === 'failed') throw new Error(outcome.detail)
      expect(outcome.relativeError).toBeLessThan(errorBounds[format])
      expect(outcome.numericsClass.weights).toBe(format)
    }
  })

  it('counts tokens by a clock, one pass at least', async () => {
    const backend = fake()
    const { measurements } = await measureBackends({ backends: [backend], ...components }, { ...request, timeMs: 0 })
    expect(measurements[0]?.outcome).toMatchObject({
      kind: 'measured',
      decodeTokensPerSecond: 1_000,
      decodeBatch8TokensPerSecond: 8_000,
      prefillTokensPerSecond: 64_000,
      relativeError: 1,
    })
    expect(backend.disposed()).toBe(1)
  })

  it('measures a block as it is run: with `finish` where there is one', async () => {
    const called: string[] = []
    const shapes = productShapes(config)
    const backend = fake({
      run: async (product, x) => {
        called.push(product)
        return new Float32Array((x.length / shapes[product][1]) * shapes[product][0])
      },
      finish: async (_attended, residual) => {
        called.push('finish')
        return residual
      },
    })
    await measureBackends({ backends: [backend], ...components }, { ...request, timeMs: 0 })
    expect(called.slice(4, 8)).toEqual(['queryKeyValue', 'finish', 'queryKeyValue', 'finish'])
  })

  it('records what fails and goes on', async () => {
    const failing = fake({
      load: () => {
        throw new Error('out of memory on device 0')
      },
    })
    const nonsense = fake({ run: async (_product, x) => x.map(() => Number.NaN) })
    const { measurements } = await measureBackends({ backends: [failing, nonsense, fake()], ...components }, request)
    expect(measurements.map(({ outcome }) => (outcome.kind === 'failed' ? outcome.reason : outcome.kind))).toEqual([
      'failed',
      'wrong-results',
      'measured',
    ])
    expect(nonsense.disposed()).toBe(1)
  })

  it('does not load what would not fit', async () => {
    const backend = fake({
      load: () => {
        throw new Error('loaded')
      },
    })
    const { measurements } = await measureBackends(
      { backends: [backend], ...components },
      { ...request, memoryBytes: 1_000 },
    )
    expect(measurements[0]?.outcome).toMatchObject({ kind: 'failed', reason: 'not-enough-memory' })
  })

  it('ends between two passes when nobody waits any more, and frees what it had loaded', async () => {
    const controller = new AbortController()
    const shapes = productShapes(config)
    let runs = 0
    const backend = fake({
      run: async (product, x) => {
        if (++runs === 20) controller.abort()
        return new Float32Array((x.length / shapes[product][1]) * shapes[product][0])
      },
    })
    const signal = controller.signal
    const measuring = measureBackends({ backends: [backend], ...components }, { ...request, timeMs: 1e9, signal })
    await expect(measuring).rejects.toThrow(/abort/i)
    expect(runs).toBe(20)
    expect(backend.disposed()).toBe(1)
  })

  it('says what it is at', async () => {
    const seen: string[] = []
    await measureBackends(
      { backends: [fake(), fake()], ...components },
      {
        ...request,
        onProgress: ({ backend, format, done, total }) => seen.push(`${backend} ${format} ${done}/${total}`),
      },
    )
    expect(seen).toEqual(['fake float32 0/2', 'fake float32 1/2'])
  })
})
