import { afterEach, describe, expect, test, vi } from 'vitest'
import { systemClock } from '#adapters/files/system-clock.ts'
import type { GenerateEvent, GenerateRequest } from '#contracts/api/chat.ts'
import type { HardwareProfile } from '#contracts/api/hardware.ts'
import { EngineFailedError, ModelFormatError, StorageError, TokenizerFormatError } from '#core/errors.ts'
import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { createFakeEngines, otherBackend, usualBackend } from '#test/fakes/fake-engines.ts'
import { createInMemorySwarms } from '#test/fakes/in-memory-swarm.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { type FakeSurroundings, nodeOfFakes, roomyMachine } from '#test/helpers/node-of-fakes.ts'

const running: FakeSurroundings[] = []

async function startNode(...args: Parameters<typeof nodeOfFakes>): Promise<FakeSurroundings> {
  const surroundings = await nodeOfFakes(...args)
  running.push(surroundings)
  await surroundings.node.start()
  await surroundings.node.settled()
  return surroundings
}

afterEach(async () => {
  for (const { node } of running.splice(0)) await node.stop()
})

const request: GenerateRequest = {
  model: null,
  prompt: '1 2 3',
  maxTokens: 6,
  sampling: { temperature: 0, topP: 1, topK: 0, seed: 1, stop: [] },
  patches: [],
  localOnly: false,
}

async function generated({ node }: FakeSurroundings, changes: Partial<GenerateRequest> = {}): Promise<GenerateEvent[]> {
  const events: GenerateEvent[] = []
  for await (const event of node.generate({ ...request, ...changes })) events.push(event)
  return events
}

async function allOf<Event>(events: AsyncIterable<Event>): Promise<Event[]> {
  const all: Event[] = []
  for await (const event of events) all.push(event)
  return all
}

const textOf = (events: readonly GenerateEvent[]) =>
  events.map((event) => (event.type === 'text' ? event.text : '')).join('')
const onBattery = { charging: false, onBattery: true, percent: 40 }
const poor = (profile: HardwareProfile): HardwareProfile => ({
  ...profile,
  memory: { totalBytes: 2 ** 20, availableBytes: 2 ** 20 },
})

describe('a node', () => {
  test('hosts all blocks that fit, offers them and says so', async () => {
    const { node, peerId } = await startNode()
    const status = await node.status()
    expect(status.hosting).toMatchObject({ kind: 'hosting', span: { start: 0, end: 3 }, sessions: 0 })
    expect(status.budget).toMatchObject({ kind: 'give', blocks: 3 })
    expect(status.coverage).toEqual([0, 1, 2].map((block) => ({ block, holders: [peerId], mine: true })))
  })

  test('pausing frees the blocks and is kept; resuming loads them again', async () => {
    const { node, settings } = await startNode()
    await node.pause(null)
    expect((await node.status()).hosting).toEqual({ kind: 'paused', reason: 'paused-by-owner', untilMs: null })
    expect(settings.current.pausedUntil).toBe('owner')
    await node.resume()
    expect((await node.status()).hosting.kind).toBe('hosting')
    expect(settings.current.pausedUntil).toBeNull()
  })

  test('a pause for some minutes says when it ends', async () => {
    const { node } = await startNode()
    const before = Date.now()
    await node.pause(15)
    const { hosting } = await node.status()
    if (hosting.kind !== 'paused' || hosting.untilMs === null) throw new Error('expected a timed pause')
    expect(hosting.untilMs - before).toBeGreaterThanOrEqual(15 * 60_000)
    expect(hosting.untilMs - before).toBeLessThan(15 * 60_000 + 5_000)
  })

  test('a pause that was over before the node started is no pause', async () => {
    const surroundings = await nodeOfFakes()
    running.push(surroundings)
    surroundings.settings.current = { ...surroundings.settings.current, pausedUntil: Date.now() - 1 }
    await surroundings.node.start()
    await surroundings.node.settled()
    expect((await surroundings.node.status()).hosting.kind).toBe('hosting')
  })

  test('gives nothing on battery, and tells that reason', async () => {
    const { node } = await startNode({ profile: { ...roomyMachine, battery: onBattery } })
    expect((await node.status()).hosting).toEqual({ kind: 'paused', reason: 'on-battery', untilMs: null })
  })

  test('gives nothing when not even a block fits, and tells how much it would take', async () => {
    const { node } = await startNode({ profile: poor(roomyMachine) })
    const status = await node.status()
    expect(status.hosting).toMatchObject({ kind: 'paused', reason: 'not-enough-memory' })
    expect(status.budget).toMatchObject({ kind: 'nothing', neededBytes: expect.any(Number) })
  })

  test('frees blocks that no longer fit when it looks at the machine again', async () => {
    const { node, machine } = await startNode()
    machine.profile = poor(roomyMachine)
    await node.detectHardware()
    expect((await node.status()).hosting).toMatchObject({ kind: 'paused', reason: 'not-enough-memory' })
  })

  test('a model that cannot be loaded is a state with a code, and the node lives on', async () => {
    const engine = {
      ...createReferenceEngine(),
      loadSpan: async () => {
        throw new ModelFormatError('model.safetensors', 'cut short')
      },
    }
    const { node } = await startNode({ engine })
    expect((await node.status()).hosting).toMatchObject({
      kind: 'failed',
      code: 'model-format',
      params: { where: 'model.safetensors' },
    })
    expect(await node.listModels()).toHaveLength(1)
  })

  test('two nodes that hold a part each make the text that one makes alone, and both write it down', async () => {
    const swarms = createInMemorySwarms({ clock: systemClock })
    const alone = textOf(await generated(await startNode()))
    const front = await startNode({ swarms, init: { blocks: { start: 0, end: 2 } } })
    const back = await startNode({ swarms, init: { blocks: { start: 2, end: 3 } } })
    const events = await generated(front)
    expect(textOf(events)).toBe(alone)
    expect(events[0]).toMatchObject({
      type: 'route',
      hops: [
        { peerId: front.peerId, local: true, span: { start: 0, end: 2 } },
        { peerId: back.peerId, local: false, span: { start: 2, end: 3 } },
      ],
    })
    await expect.poll(() => back.kept.entries.length).toBe(1)
    expect(front.kept.entries.map((entry) => entry.kind)).toEqual(['used', 'used'])
    expect(back.kept.entries[0]).toMatchObject({ kind: 'served', peerId: front.peerId, tokensIn: 3, tokensOut: 5 })
    expect((await back.node.status()).today).toMatchObject({ servedSessions: 1, servedTokens: 8 })
  })

  test('a text that only this machine may make names the blocks it lacks', async () => {
    const swarms = createInMemorySwarms({ clock: systemClock })
    const front = await startNode({ swarms, init: { blocks: { start: 0, end: 2 } } })
    await startNode({ swarms, init: { blocks: { start: 2, end: 3 } } })
    const events = await generated(front, { localOnly: true })
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'missing-blocks', params: { blocks: '2:3' } })
  })

  test('blocks that are missing because the owner paused are called that', async () => {
    const surroundings = await startNode()
    await surroundings.node.pause(null)
    const events = await generated(surroundings, { localOnly: true })
    expect(events).toMatchObject([{ type: 'error', code: 'paused', params: { reason: 'paused-by-owner' } }])
  })

  test('pausing in the middle of a text ends it with that word, and the text so far stays', async () => {
    const surroundings = await startNode()
    const events: GenerateEvent[] = []
    for await (const event of surroundings.node.generate({ ...request, maxTokens: 500, localOnly: true })) {
      events.push(event)
      if (events.length === 5) await surroundings.node.pause(null)
    }
    expect(textOf(events).length).toBeGreaterThan(0)
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'paused' })
  })

  test('a model whose tokenizer cannot be read takes no memory', async () => {
    const engine = createReferenceEngine()
    const loadEnds = vi.fn(engine.loadEnds)
    const tokenizer = () => Promise.reject(new TokenizerFormatError('tokenizer.json', 'cut short'))
    const models = [{ ...randomModel(tinyConfig(), 1), tokenizer }]
    const events = await generated(await startNode({ engine: { ...engine, loadEnds }, models }))
    expect(events).toMatchObject([{ type: 'error', code: 'tokenizer-format' }])
    expect(loadEnds).not.toHaveBeenCalled()
  })

  test('stopping while a text is made ends it, and everything else, at once', async () => {
    const surroundings = await startNode()
    const events: GenerateEvent[] = []
    for await (const event of surroundings.node.generate({ ...request, maxTokens: 500 })) {
      events.push(event)
      if (events.length === 5) void surroundings.node.stop()
    }
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'cancelled' })
  })
})

describe('what a node computes with', () => {
  test('a small model is computed exactly, and nothing is measured for it', async () => {
    const { node, engines } = await startNode()
    expect((await node.status()).engine).toEqual({ backend: usualBackend, format: 'float32', why: 'small-model' })
    expect(engines.measured()).toBe(0)
  })

  test('another engine holds the blocks once its owner chooses it, after measuring once', async () => {
    const engines = createFakeEngines(createReferenceEngine())
    const { node } = await startNode({ engines })
    await node.chooseEngine({ backend: otherBackend, format: null })
    await node.settled()
    const status = await node.status()
    expect(status.engine).toEqual({ backend: otherBackend, format: 'float32', why: 'owner-chose-backend' })
    expect(status.hosting.kind).toBe('hosting')
    await node.detectHardware()
    expect(engines.measured()).toBe(1)
    expect(engines.started).toEqual([usualBackend, otherBackend])
  })

  test('choosing the engine that is used already changes the reason and loads nothing', async () => {
    const { node, engines } = await startNode()
    await node.chooseEngine({ backend: usualBackend, format: 'float32' })
    await node.settled()
    expect((await node.status()).engine).toEqual({ backend: usualBackend, format: 'float32', why: 'owner-chose' })
    expect(engines.started).toEqual([usualBackend])
  })

  test('says that it measures, and how far it is', async () => {
    const held = Promise.withResolvers<void>()
    const engines = createFakeEngines(createReferenceEngine(), () => held.promise)
    await engines.calibrator.setOverride({ backend: otherBackend, format: null })
    const surroundings = await nodeOfFakes({ engines })
    running.push(surroundings)
    const { node } = surroundings
    await node.start()
    const state = async () => (await node.status()).hosting
    await expect.poll(state).toEqual({ kind: 'measuring', done: 0, total: 2 })
    held.resolve()
    await node.settled()
    expect((await state()).kind).toBe('hosting')
  })

  test('blocks that are lost with a broken engine are loaded again, and said to be', async () => {
    const engines = createFakeEngines(createReferenceEngine())
    const surroundings = await startNode({ engines })
    const { node } = surroundings
    engines.fail(otherBackend)
    expect((await node.status()).hosting.kind).toBe('hosting')
    engines.fail(usualBackend)
    expect((await node.status()).hosting).toMatchObject({
      kind: 'loading',
      blocksLoaded: 0,
      blocksTotal: 3,
      again: true,
    })
    await expect.poll(async () => (await node.status()).hosting.kind).toBe('hosting')
    expect(engines.started).toEqual([usualBackend, usualBackend])
    expect(textOf(await generated(surroundings, { localOnly: true })).length).toBeGreaterThan(0)
  })

  test('an engine that cannot be started is a state with a code', async () => {
    const engine = {
      ...createReferenceEngine(),
      loadSpan: async () => {
        throw new EngineFailedError(usualBackend, 'failed 5 times; tried again in 8 minutes')
      },
    }
    const { node } = await startNode({ engine })
    expect((await node.status()).hosting).toMatchObject({ kind: 'failed', code: 'engine-failed' })
  })

  test('a measurement that its reader leaves is stopped and changes nothing', async () => {
    const stopped: unknown[] = []
    const engines = createFakeEngines(
      createReferenceEngine(),
      (signal) =>
        new Promise((_, reject) => {
          signal?.addEventListener('abort', () => {
            stopped.push(signal.reason)
            reject(signal.reason)
          })
        }),
    )
    const { node } = await startNode({ engines })
    for await (const event of node.measureEngines()) if (event.type === 'progress') break
    await expect.poll(() => stopped.length).toBe(1)
    expect((await node.engineOverview({ look: false })).measuredAtMs).toBeNull()
  })

  test('a measurement that fails ends with a code', async () => {
    const engines = createFakeEngines(createReferenceEngine(), async () => {
      throw new StorageError('calibration.json', 'read-only')
    })
    const { node } = await startNode({ engines })
    const events = await allOf(node.measureEngines())
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'storage-failed' })
  })

  test('measured speeds are those of the whole model', async () => {
    const { node } = await startNode()
    const events = await allOf(node.measureEngines())
    const last = events.at(-1)
    if (last?.type !== 'done') throw new Error('expected the overview')
    expect(last.overview).toMatchObject({ blockCount: 3, threads: 4 })
    expect(last.overview.backends[0]?.measurements[0]?.outcome).toMatchObject({
      decodeTokensPerSecond: 300,
      decodeBatch8TokensPerSecond: 1200,
      weightBytes: 3000,
    })
  })

  test('what an idle machine has is told while the owner pauses it', async () => {
    const surroundings = await nodeOfFakes()
    running.push(surroundings)
    surroundings.settings.current = { ...surroundings.settings.current, pausedUntil: 'owner' }
    await surroundings.node.start()
    await surroundings.node.settled()
    const overview = await surroundings.node.engineOverview({ look: true })
    expect(overview).toMatchObject({ inUse: null, model: 'random-1', blockCount: 3 })
    expect(overview.backends[2]?.availability).toMatchObject({ kind: 'unavailable', reason: 'not-installed' })
  })
})
