import { describe, expect, it } from 'vitest'
import { createCalibrator } from '#app/calibration.ts'
import type { Calibration } from '#core/calibration/calibration.ts'
import {
  aCalibration,
  aMeasurement,
  createInMemoryCalibrationStore,
  someMachine,
} from '#test/fakes/in-memory-calibration.ts'
import { tinyConfig } from '#test/fakes/model-handle.ts'

const config = tinyConfig()
const request = { config, threads: 2 }
const choosing = { ...request, memory: { machineBytes: 1e6, gpuBytes: null }, blocks: 3 }

function calibrationOf(threads: number, measuredAtMs: number): Calibration {
  const measurements = [aMeasurement('onnxruntime-cpu', 9), aMeasurement('tfjs-wasm', 1)]
  return aCalibration(config, threads, measurements, measuredAtMs)
}

function build(store = createInMemoryCalibrationStore()) {
  let here = someMachine
  let measured = 0
  const running = { now: 0, most: 0 }
  const calibrator = createCalibrator({
    store,
    machine: async () => here,
    async measure({ threads, signal }) {
      signal?.throwIfAborted()
      running.most = Math.max(running.most, ++running.now)
      await new Promise((resolve) => setImmediate(resolve))
      running.now--
      return calibrationOf(threads, ++measured)
    },
  })
  return {
    calibrator,
    running,
    measured: () => measured,
    addGpu: () => {
      here = { ...someMachine, gpus: ['new'] }
    },
  }
}

describe('the calibrator', () => {
  it('measures when it must choose and nothing is kept, and not again', async () => {
    const { calibrator, measured } = build()
    const first = await calibrator.choose(choosing)
    expect(first.choice).toMatchObject({ kind: 'chosen', backend: 'onnxruntime-cpu', why: 'fastest' })
    expect((await calibrator.choose(choosing)).calibration).toEqual(first.calibration)
    expect(measured()).toBe(1)
  })

  it('keeps what it measured for whoever starts next', async () => {
    const store = createInMemoryCalibrationStore()
    await build(store).calibrator.measure(request)
    const next = build(store)
    expect(await next.calibrator.current(request)).toEqual(calibrationOf(2, 1))
    expect(await next.calibrator.current({ ...request, threads: 1 })).toBeNull()
    expect(next.measured()).toBe(0)
  })

  it('measures anew when asked to, or when the machine is another', async () => {
    const { calibrator, measured, addGpu } = build()
    await calibrator.measure(request)
    expect((await calibrator.measure(request)).measuredAtMs).toBe(2)
    addGpu()
    expect(await calibrator.current(request)).toBeNull()
    await calibrator.choose(choosing)
    expect(measured()).toBe(3)
  })

  it('measures one thing at a time', async () => {
    const { calibrator, running } = build()
    await Promise.all([1, 2, 3].map((threads) => calibrator.measure({ config, threads })))
    expect(running.most).toBe(1)
    for (const threads of [1, 2, 3]) expect(await calibrator.current({ config, threads })).not.toBeNull()
  })

  it("follows the owner's word until it is taken back, over changes of the machine", async () => {
    const { calibrator, addGpu } = build()
    expect(await calibrator.override()).toBeNull()
    await calibrator.setOverride({ backend: 'tfjs-wasm', format: null })
    expect((await calibrator.choose(choosing)).choice).toMatchObject({
      backend: 'tfjs-wasm',
      why: 'owner-chose-backend',
    })
    addGpu()
    expect((await calibrator.choose(choosing)).choice).toMatchObject({ backend: 'tfjs-wasm' })
    await calibrator.setOverride(null)
    expect((await calibrator.choose(choosing)).choice).toMatchObject({ backend: 'onnxruntime-cpu' })
  })

  it('keeps nothing of a measurement that was cut off, and serves the next', async () => {
    const { calibrator } = build()
    await expect(calibrator.measure({ ...request, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i)
    expect(await calibrator.current(request)).toBeNull()
    await calibrator.measure(request)
    expect(await calibrator.current(request)).not.toBeNull()
  })
})
