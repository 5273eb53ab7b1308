import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { EngineAvailability } from '#contracts/api/engine.ts'
import { engineReasons } from '#contracts/api/node.ts'
import {
  engineCard,
  engineInWords,
  failedInWords,
  measuredIntro,
  measurementRows,
  measuringInWords,
  missingEngines,
  speedInWords,
  unavailableInWords,
  whyInWords,
  wishGroups,
  wishValue,
} from '#renderer/text/engine.ts'
import { createScenario, type ScenarioName, scenarioNames } from '#test/fakes/in-memory-node-scenarios.ts'

const nowMs = Date.UTC(2026, 10, 23, 15, 0)
const gaps = /undefined|NaN|null|\[object|!/

function situation(name: ScenarioName) {
  const { status, engines } = createScenario(name, nowMs)
  return { status, overview: engines }
}

describe('the engine in words', () => {
  test.each(scenarioNames)('"%s" has a title and sentences without gaps, with the figures and without them', (name) => {
    const { status, overview } = situation(name)
    for (const known of [overview, null]) {
      const { title, lines } = engineCard(status, known)
      for (const text of [title, ...lines]) expect(text).not.toMatch(gaps)
      for (const line of lines) expect(line).toMatch(/^[A-Z].*\.$/)
      expect(lines.length).toBeGreaterThan(0)
    }
  })

  test('says what is used, how fast that is to a reader, and why', () => {
    const { status, overview } = situation('hosting')
    expect(engineCard(status, overview)).toEqual({
      title: 'ONNX Runtime on the processor, 8-bit weights (int8)',
      lines: [
        'Up to 41.3 tokens/s through all 8 blocks: about 31 words a second, faster than people read.',
        'It is the fastest of the 6 ways measured here that is exact enough and fits into memory. ' +
          'Four bits are only used when memory is short: they cost quality.',
      ],
    })
  })

  test('says that an engine broke and comes back, or keeps failing', () => {
    const again = situation('engine-restarting')
    expect(engineCard(again.status, again.overview).lines[0]).toMatch(/^It broke, and is being started again\./)
    const failed = situation('engine-failed')
    expect(engineCard(failed.status, failed.overview).lines[0]).toMatch(/^It keeps failing\. It is tried again/)
  })

  test('says when what the owner chose is not what is used', () => {
    const { status, overview } = situation('hosting')
    const wished = { ...overview, override: { backend: 'tfjs-cuda', format: null } }
    expect(engineCard(status, wished).lines.at(-1)).toBe('Your choice, TensorFlow.js with CUDA, does not work here.')
    const forThisRun = { ...status, engine: { backend: 'onnxruntime-cpu', format: 'int4', why: 'asked-for' } as const }
    expect(engineCard(forThisRun, wished).lines.at(-1)).toMatch(/counts again when the node starts without/)
  })

  test.each(engineReasons)('the reason "%s" is a whole sentence', (why) => {
    const words = whyInWords({ backend: 'onnxruntime-cpu', format: 'int8', why }, situation('hosting').overview)
    expect(words).toMatch(/^[A-Z].*\.$/)
    expect(words).not.toMatch(gaps)
  })

  test.each([
    [0.2, 'less than one word a second, slower than people read'],
    [1.4, 'about 1 word a second, slower than people read'],
    [5, 'about 4 words a second, about as fast as people read'],
    [40, 'about 30 words a second, faster than people read'],
  ])('%d tokens a second are %s', (rate, words) => expect(speedInWords(rate, 8)).toContain(words))

  test('an engine of a newer node is called what the node calls it', () => {
    const engine = { backend: 'abacus\u202E', format: 'int8', why: 'fastest' } as const
    expect(engineInWords(engine, null)).toBe('abacus, 8-bit weights (int8)')
    expect(engineInWords({ ...engine, backend: 'constructor' }, null)).toBe('constructor, 8-bit weights (int8)')
  })
})

describe('the comparison of engines', () => {
  test('puts the fastest first, marks the one in use, and says why figures are missing', () => {
    const { status, overview } = situation('hosting')
    const rows = measurementRows(overview, status.engine)
    expect(rows.map(({ key }) => key).slice(0, 2)).toEqual(['onnxruntime-cpu int4', 'onnxruntime-cpu int8'])
    expect(rows.filter(({ inUse }) => inUse).map(({ key }) => key)).toEqual(['onnxruntime-cpu int8'])
    expect(rows.at(-1)).toMatchObject({ figures: null, note: expect.stringMatching(/did not fit/) })
    expect(rows.find(({ key }) => key === 'onnxruntime-webgpu int8')?.note).toMatch(/^Not exact enough/)
  })

  test('names each engine that cannot be used, with its reason', () => {
    const reasons = missingEngines(situation('hosting').overview).map(({ name, why }) => `${name}: ${why}`)
    expect(reasons).toEqual([
      'ONNX Runtime with CUDA: No device or driver that it can use was found. It said: CUDA failure 35: driver version is insufficient',
      'ONNX Runtime with DirectML: It is made for other systems than Linux.',
      'TensorFlow.js with CUDA: The optional package @tensorflow/tfjs-node-gpu is not installed.',
      'TensorFlow.js with native code: It was tried, and crashed. It said: ended by signal SIGILL',
    ])
  })

  test('stays readable whatever a probe said', () => {
    const params = fc.dictionary(fc.constantFrom('detail', 'how', 'package', 'platform'), fc.string())
    const reason = fc.constantFrom('wrong-platform', 'not-installed', 'driver-missing', 'probe-failed')
    fc.assert(
      fc.property(params, reason, (given, why) => {
        const availability = { kind: 'unavailable', reason: why, params: given } as EngineAvailability
        const words = unavailableInWords(availability)
        expect(words).toMatch(/^[A-Z]/)
        expect(words).not.toMatch(/undefined|function|\[object/)
        expect(words?.length).toBeLessThan(400)
      }),
    )
    expect(failedInWords({ kind: 'failed', reason: 'failed', detail: '\u0007' })).toBe('It failed.')
  })

  test('offers what works here, in each of its formats, and what was chosen already', () => {
    const { overview } = situation('hosting')
    expect(wishGroups(overview).map(({ name }) => name)).toEqual([
      'ONNX Runtime',
      'ONNX Runtime with WebGPU',
      'TensorFlow.js in WebAssembly',
    ])
    expect(wishGroups(overview)[2]?.options.map(({ value }) => value)).toEqual(['tfjs-wasm', 'tfjs-wasm float32'])
    const wished = { ...overview, override: { backend: 'tfjs-cuda', format: null } }
    expect(wishGroups(wished).flatMap(({ options }) => options.map(({ value }) => value))).toContain('tfjs-cuda')
    expect(wishValue(null)).toBe('')
  })

  test('says what the figures are of, and what is being measured', () => {
    expect(measuredIntro(situation('hosting').overview, nowMs)).toMatch(/for seedling on 2 threads, 1 d ago\./)
    expect(measuredIntro(situation('unmeasured').overview, nowMs)).toMatch(/None has been measured/)
    expect(measuringInWords({ type: 'progress', backend: 'tfjs-wasm', format: 'float32', done: 6, total: 7 })).toBe(
      '7 of 7: TensorFlow.js in WebAssembly, exact weights (float32)',
    )
  })
})
