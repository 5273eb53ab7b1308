/** Hosting when engines break or differ; what a node does otherwise is in `node.test.ts`. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { GenerateEvent } from '#contracts/api/chat.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'
import { EngineFailedError } from '#core/errors.ts'
import type { Engine, SpanRunner, WeightFormat } from '#core/ports/engine.ts'
import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { createFakeEngines, usualBackend } from '#test/fakes/fake-engines.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { type FakeSurroundings, nodeOfFakes, roomyMachine } from '#test/helpers/node-of-fakes.ts'

const running: FakeSurroundings[] = []
afterEach(async () => {
  vi.useRealTimers()
  for (const { node } of running.splice(0)) await node.stop()
})

async function startNode(...args: Parameters<typeof nodeOfFakes>): Promise<FakeSurroundings> {
  const surroundings = await nodeOfFakes(...args)
  running.push(surroundings)
  await surroundings.node.start()
  await surroundings.node.settled()
  return surroundings
}

/** The reference engine; `beforeLoad` may refuse the n-th load of blocks, counted from 1. */
function watchedEngine(beforeLoad: (load: number) => void = () => {}) {
  const runners: SpanRunner[] = []
  let loads = 0
  const reference = createReferenceEngine()
  const engine: Engine = {
    ...reference,
    async loadSpan(...request) {
      beforeLoad(++loads)
      const runner = await reference.loadSpan(...request)
      runners.push(runner)
      return runner
    },
  }
  return { engine, runners, loads: () => loads }
}

const isDisposed = (runner: SpanRunner | undefined): boolean => {
  try {
    runner?.openSession({ maxLength: 1 }).dispose()
    return false
  } catch {
    return true
  }
}

describe('blocks whose engine breaks while they load', () => {
  test('are tried again by themselves, later each time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { engine, loads } = watchedEngine((load) => {
      if (load <= 3) throw new EngineFailedError(usualBackend, 'ended by SIGSEGV')
    })
    const { node } = await startNode({ engine })
    expect((await node.status()).hosting).toEqual({
      kind: 'failed',
      code: 'engine-failed',
      params: { backend: usualBackend, why: 'ended by SIGSEGV' },
    })
    for (const [seconds, expected] of [
      [5, 2],
      [9, 2],
      [1, 3],
      [19, 3],
      [1, 4],
    ] as const) {
      await vi.advanceTimersByTimeAsync(seconds * 1_000)
      await vi.waitFor(() => expect(loads()).toBe(expected))
    }
    await vi.waitFor(async () => expect((await node.status()).hosting.kind).toBe('hosting'))
  })

  test('are tried again at once when the owner says so', async () => {
    const { engine } = watchedEngine((load) => {
      if (load === 1) throw new EngineFailedError(usualBackend, 'ended by SIGSEGV')
    })
    const { node } = await startNode({ engine })
    expect((await node.status()).hosting.kind).toBe('failed')
    await node.resume()
    expect((await node.status()).hosting.kind).toBe('hosting')
  })
})

test('an engine that breaks the moment its blocks are there is noticed all the same', async () => {
  const { engine, runners } = watchedEngine()
  const engines = createFakeEngines(engine)
  const residentBytes = async () => {
    // Asked right after the first load.
    if (runners.length === 1 && !isDisposed(runners[0])) engines.fail(usualBackend)
    return 0
  }
  const { node } = await startNode({ engines: { ...engines, compute: { ...engines.compute, residentBytes } } })
  await expect.poll(() => runners.length).toBe(2)
  await expect.poll(async () => (await node.status()).hosting.kind).toBe('hosting')
  expect(runners.map(isDisposed)).toEqual([true, false])
})

test('ends that broke while others were freed are loaded anew for the next text', async () => {
  const reference = createReferenceEngine()
  const loadedFor: string[] = []
  const engine: Engine = {
    ...reference,
    async loadEnds(model, options) {
      loadedFor.push(model.manifest.name)
      const ends = await reference.loadEnds(model, options)
      const dispose = async () => {
        await ends.dispose()
        engines.fail(usualBackend)
      }
      return { ...ends, dispose: loadedFor.length === 1 ? dispose : ends.dispose }
    },
  }
  const engines = createFakeEngines(engine)
  const [first, second] = [randomModel(tinyConfig(), 1), randomModel(tinyConfig(), 2)]
  const { node } = await startNode({ engines, models: [first, second] })
  const generate = async (model: string) => {
    const events: GenerateEvent[] = []
    const sampling = { temperature: 0, topP: 1, topK: 0, seed: 1, stop: [] }
    const request = { model, prompt: '1 2', maxTokens: 1, sampling, patches: [], localOnly: true }
    for await (const event of node.generate(request)) events.push(event)
    return events
  }
  const names = [first, second].map(({ manifest }) => manifest.name)
  await generate(names[0] ?? '')
  await generate(names[1] ?? '')
  await generate(names[1] ?? '')
  expect(loadedFor).toEqual([names[0], names[1], names[1]])
})

describe('the blocks that a machine gives', () => {
  const config: ModelConfig = tinyConfig({
    hiddenSize: 4096,
    intermediateSize: 14_336,
    blockCount: 32,
    headCount: 32,
    kvHeadCount: 8,
    headSize: 128,
    vocabularySize: 32_000,
    contextLength: 4096,
  })

  /** A node whose engine holds nothing, since what it would hold is more than a test has. */
  async function blocksGiven(format: WeightFormat): Promise<number> {
    const model = randomModel(tinyConfig(), 1)
    const large = { ...model, manifest: { ...model.manifest, config } }
    const loadSpan: Engine['loadSpan'] = async (_model, span) =>
      ({ span, openSession: undefined, dispose: async () => {} }) as unknown as SpanRunner
    const engines = createFakeEngines({ ...createReferenceEngine(), loadSpan })
    const choose = async () => ({ backend: usualBackend, format, why: 'asked-for' }) as const
    const { node } = await startNode({
      engines: { ...engines, compute: { ...engines.compute, choose } },
      models: [large],
      profile: { ...roomyMachine, memory: { totalBytes: 16 * 2 ** 30, availableBytes: 16 * 2 ** 30 } },
    })
    const { hosting, budget } = await node.status()
    if (hosting.kind !== 'hosting' || budget?.kind !== 'give') throw new Error(`${hosting.kind} in ${format}`)
    expect(hosting.span.end - hosting.span.start).toBe(budget.blocks)
    return budget.blocks
  }

  test('are more, the fewer bits a weight takes', async () => {
    const float32 = await blocksGiven('float32')
    const int8 = await blocksGiven('int8')
    const int4 = await blocksGiven('int4')
    expect(float32).toBeGreaterThan(0)
    expect(int8).toBeGreaterThan(2 * float32)
    expect(int4).toBeGreaterThan(int8)
  })
})
