import { describe, expect, it } from 'vitest'
import type { EngineOverride, Measurement } from '#core/calibration/calibration.ts'
import { type ChooseInput, chooseEngine } from '#core/calibration/choose-engine.ts'
import type { WeightFormat } from '#core/ports/engine.ts'

const usualError = { float32: 1e-7, float16: 2e-4, int8: 5e-3, int4: 0.06 }
const bytes = { float32: 400, float16: 200, int8: 110, int4: 60 }

function measured(
  backend: string,
  format: WeightFormat,
  tokensPerSecond: number,
  { relativeError = usualError[format], device = 'cpu' as 'cpu' | 'gpu' } = {},
): Measurement {
  return {
    backend,
    device,
    format,
    outcome: {
      kind: 'measured',
      decodeTokensPerSecond: tokensPerSecond,
      decodeBatch8TokensPerSecond: tokensPerSecond * 4,
      prefillTokensPerSecond: tokensPerSecond * 8,
      weightBytes: bytes[format],
      loadSeconds: 1,
      relativeError,
      numericsClass: { backend, kernelVersion: '1', weights: format, weightGroup: null, activations: 'float32' },
    },
  }
}

function broken(backend: string, format: WeightFormat): Measurement {
  return { backend, device: 'gpu', format, outcome: { kind: 'failed', reason: 'failed', detail: 'no more' } }
}

function choose(measurements: readonly Measurement[], changes: Partial<ChooseInput> = {}) {
  return chooseEngine({
    calibration: {
      shape: { hiddenSize: 8, intermediateSize: 8, headCount: 1, kvHeadCount: 1, headSize: 8 },
      threads: 1,
      measuredAtMs: 0,
      measurements: [...measurements],
    },
    override: null,
    memory: { machineBytes: 10_000, gpuBytes: null },
    blocks: 10,
    ...changes,
  })
}

const cpu = [
  measured('onnxruntime-cpu', 'float32', 100),
  measured('onnxruntime-cpu', 'int8', 300),
  measured('onnxruntime-cpu', 'int4', 500),
]

function chosen(backend: string, format: WeightFormat, why: string, overrideFailed = false) {
  return { kind: 'chosen', backend, format, why, overrideFailed }
}

describe('the choice of an engine', () => {
  it('is what decodes fastest, of weights of eight bits and more', () => {
    expect(choose(cpu)).toEqual(chosen('onnxruntime-cpu', 'int8', 'fastest'))
  })

  it('falls on four bits when eight do not fit, and says that memory is why', () => {
    expect(choose(cpu, { memory: { machineBytes: 1_000, gpuBytes: null } })).toEqual(
      chosen('onnxruntime-cpu', 'int4', 'memory'),
    )
  })

  it('falls on four bits without a word of memory when there is nothing else', () => {
    expect(choose([measured('onnxruntime-cpu', 'int4', 5)])).toEqual(chosen('onnxruntime-cpu', 'int4', 'only-one'))
  })

  it('holds the most blocks when nothing fits whole', () => {
    expect(choose(cpu, { memory: { machineBytes: 300, gpuBytes: null } })).toEqual(
      chosen('onnxruntime-cpu', 'int4', 'smallest'),
    )
  })

  it('judges a GPU by its own memory where that is known', () => {
    const gpu = measured('onnxruntime-cuda', 'int8', 900, { device: 'gpu' })
    const roomy = { memory: { machineBytes: 10_000, gpuBytes: 8_000 } }
    const tight = { memory: { machineBytes: 10_000, gpuBytes: 500 } }
    expect(choose([...cpu, gpu], roomy)).toEqual(chosen('onnxruntime-cuda', 'int8', 'fastest'))
    expect(choose([...cpu, gpu], tight)).toEqual(chosen('onnxruntime-cpu', 'int8', 'fastest'))
    expect(choose([...cpu, gpu])).toEqual(chosen('onnxruntime-cuda', 'int8', 'fastest'))
  })

  it('passes over what is fast and wrong', () => {
    const wrong = measured('onnxruntime-webgpu', 'int8', 900, { device: 'gpu', relativeError: 0.2 })
    expect(choose([...cpu, wrong])).toEqual(chosen('onnxruntime-cpu', 'int8', 'fastest'))
  })

  it('does not take short factors for float32', () => {
    const short = measured('tfjs-cuda', 'float32', 900, { device: 'gpu', relativeError: 5e-4 })
    expect(choose([...cpu, short])).toEqual(chosen('onnxruntime-cpu', 'int8', 'fastest'))
  })

  it('prefers the processor, and our first runtime, among equals', () => {
    const near = [measured('onnxruntime-webgpu', 'int8', 310, { device: 'gpu' }), measured('tfjs-wasm', 'float32', 305)]
    expect(choose([...near, ...cpu])).toEqual(chosen('onnxruntime-cpu', 'int8', 'as-fast-and-simpler'))
  })

  it('prefers exact weights among equals', () => {
    const equals = [measured('onnxruntime-cpu', 'int8', 102), measured('onnxruntime-cpu', 'float32', 100)]
    expect(choose(equals)).toEqual(chosen('onnxruntime-cpu', 'float32', 'as-fast-and-simpler'))
  })

  it('is the same whatever the order of the measurements', () => {
    const all = [...cpu, measured('onnxruntime-webgpu', 'int8', 295, { device: 'gpu' })]
    expect(choose(all.toReversed())).toEqual(choose(all))
  })

  it('is none when nothing ran, and none of another kind when nothing was exact', () => {
    expect(choose([broken('onnxruntime-cuda', 'int8')])).toEqual({
      kind: 'none',
      why: 'nothing-works',
      overrideFailed: false,
    })
    expect(choose([measured('onnxruntime-cpu', 'int8', 9, { relativeError: 1 })])).toEqual({
      kind: 'none',
      why: 'nothing-exact',
      overrideFailed: false,
    })
  })
})

describe("the owner's word", () => {
  const say = (override: EngineOverride, measurements = cpu, changes: Partial<ChooseInput> = {}) =>
    choose(measurements, { override, ...changes })

  it('is followed, though something else is faster', () => {
    const slow = [...cpu, measured('tfjs-wasm', 'float32', 1)]
    expect(say({ backend: 'tfjs-wasm', format: 'float32' }, slow)).toEqual(
      chosen('tfjs-wasm', 'float32', 'owner-chose'),
    )
  })

  it('may name four bits, or a format that is not exact here', () => {
    expect(say({ backend: 'onnxruntime-cpu', format: 'int4' })).toEqual(
      chosen('onnxruntime-cpu', 'int4', 'owner-chose'),
    )
    const inexact = [...cpu, measured('onnxruntime-webgpu', 'int8', 9, { relativeError: 0.1 })]
    expect(say({ backend: 'onnxruntime-webgpu', format: 'int8' }, inexact)).toEqual(
      chosen('onnxruntime-webgpu', 'int8', 'owner-chose'),
    )
  })

  it('may leave the format open', () => {
    expect(say({ backend: 'onnxruntime-cpu', format: null })).toEqual(
      chosen('onnxruntime-cpu', 'int8', 'owner-chose-backend'),
    )
  })

  it('cannot be followed when it does not work: then the measurements decide, and that is said', () => {
    const measurements = [...cpu, broken('onnxruntime-cuda', 'int8')]
    expect(say({ backend: 'onnxruntime-cuda', format: null }, measurements)).toEqual(
      chosen('onnxruntime-cpu', 'int8', 'fastest', true),
    )
    expect(say({ backend: 'onnxruntime-cpu', format: 'float16' })).toEqual(
      chosen('onnxruntime-cpu', 'int8', 'fastest', true),
    )
  })
})
