/** Blocks in memory: what they open, what they hold, and how they end. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import type { SpanRunner } from '#core/ports/engine.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { randomFloats, randomPatch } from './inputs.ts'
import { type EngineUnderTest, misuse } from './under-test.ts'

export function describeRunners(suite: EngineUnderTest): void {
  describe('a runner', () => {
    describeOpening(suite)
    describeMemory(suite)
  })
}

function describeOpening({ loadSpan }: EngineUnderTest): void {
  it('opens sessions within its span and the context only', async () => {
    const runner = await loadSpan(randomModel(tinyConfig(), 70), { span: { start: 1, end: 3 } })
    expect(runner.span).toEqual({ start: 1, end: 3 })
    expect(() => runner.openSession({ maxLength: 9, span: { start: 0, end: 2 } })).toThrow(RangeError)
    expect(() => runner.openSession({ maxLength: 9, span: { start: 2, end: 2 } })).toThrow(RangeError)
    for (const maxLength of [0, -1, 1.5]) expect(() => runner.openSession({ maxLength })).toThrow(RangeError)
    expect(() => runner.openSession({ maxLength: 601 })).toThrow('601')
    const session = runner.openSession({ maxLength: 600 })
    expect([session.span, session.length, session.maxLength]).toEqual([{ start: 1, end: 3 }, 0, 600])
  })

  it('ends its sessions when disposed, also those in the middle of a call, and may be disposed again', async () => {
    const runner = await loadSpan(randomModel(tinyConfig(), 71))
    const [busy, idle] = [runner.openSession({ maxLength: 9 }), runner.openSession({ maxLength: 9 })]
    const call = busy.forward(new Float32Array(32))
    const [outcome] = await Promise.allSettled([call, runner.dispose(), runner.dispose()])
    expect(outcome).toMatchObject({ status: 'rejected', reason: misuse })
    await expect(idle.forward(new Float32Array(32))).rejects.toThrow('disposed')
    await expect(runner.forward([])).rejects.toThrow('disposed')
    expect(() => runner.openSession({ maxLength: 9 })).toThrow('disposed')
    expect(idle.cacheBytes).toBe(0)
    idle.dispose()
  })

  it('disposed in the middle of a backward call ends that call too', async () => {
    const runner = await loadSpan(randomModel(tinyConfig(), 72))
    const rows = randomFloats(4 * 32, 1)
    const call = runner.backward({ hidden: rows, outputGradient: rows })
    const [outcome] = await Promise.allSettled([call, runner.dispose()])
    expect(outcome).toMatchObject({ status: 'rejected', reason: misuse })
    await expect(runner.backward({ hidden: rows, outputGradient: rows })).rejects.toMatchObject(misuse)
  })
}

function describeMemory({ engine, loadSpan }: EngineUnderTest): void {
  it('tells what it holds: weights, and caches that grow and shrink with their length', async () => {
    const config = tinyConfig({ blockCount: 4, hiddenSize: 64, intermediateSize: 128 })
    const runner = await loadSpan(randomModel(config, 73), { span: { start: 1, end: 3 } })
    const blockBytes = 4 * (2 * 64 + 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    expect(runner.weightBytes).toBeGreaterThanOrEqual(2 * blockBytes)
    expect(runner.weightBytes).toBeLessThan(3 * blockBytes)

    const session = runner.openSession({ maxLength: 600 })
    const bytesFor = (positions: number) => 2 * 2 * positions * 32 * 4 // blocks, keys and values, kv width, float32
    await session.forward(new Float32Array(10 * 64))
    const small = session.cacheBytes
    expect(small).toBeGreaterThanOrEqual(bytesFor(10) / 2) // half floats would do
    expect(small).toBeLessThan(bytesFor(600)) // what is not used is not held
    await session.forward(new Float32Array(580 * 64))
    const large = session.cacheBytes
    expect(large).toBeGreaterThanOrEqual(bytesFor(590) / 2)
    expect(large).toBeLessThanOrEqual(4 * bytesFor(590))
    session.truncate(9)
    await session.forward(new Float32Array(64)) // an engine in another process has answered since
    expect(session.cacheBytes).toBeLessThanOrEqual(large / 4)
    expect(session.cacheBytes).toBeGreaterThan(0)
    session.dispose()
    expect(session.cacheBytes).toBe(0)
  })

  it('does not grow memory over many sessions opened, appended to, forked, truncated and ended', async () => {
    const config = tinyConfig({ blockCount: 1, hiddenSize: 16, headCount: 8, kvHeadCount: 8, headSize: 64 })
    const model = randomModel(config, 74)
    const runner = await loadSpan(model)
    const patch = randomPatch(config, 1)
    const rows = randomFloats(50 * 16, 2) // 4 KB of cache a position
    const useOnce = async () => {
      const loaded = await runner.loadPatch(patch)
      const session = runner.openSession({ maxLength: 600, patches: [loaded] })
      loaded.dispose()
      await session.forward(rows)
      const fork = session.fork(40)
      await runner.forward([session, fork].map((each) => ({ session: each, hidden: rows.subarray(0, 3 * 16) })))
      session.truncate(5)
      fork.dispose()
      await session.forward(rows.subarray(0, 16))
      session.dispose()
    }
    for (let i = 0; i < 10; i++) await useOnce()
    const before = await memoryAfterCollection()
    for (let i = 0; i < 60; i++) await useOnce() // leaking one cache each would be 12 MB
    const after = await memoryAfterCollection()
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(4e6)
  })

  it('does not grow memory over sixteen loads', async () => {
    const model = randomModel(tinyConfig({ hiddenSize: 256, intermediateSize: 512, headSize: 64 }), 75) // 7 MB
    const loadOnce = async () => {
      const runner = await engine().loadSpan(model, { start: 0, end: 3 }, { threads: 1 })
      await useSession(runner)
      await runner.dispose()
      const ends = await engine().loadEnds(model, { threads: 1 })
      await ends.dispose()
    }
    for (let i = 0; i < 3; i++) await loadOnce()
    const before = await memoryAfterCollection()
    for (let i = 0; i < 16; i++) await loadOnce()
    const after = await memoryAfterCollection()
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(8e6)
    expect(after.rss - before.rss).toBeLessThan(60e6)
  })
}

async function useSession(runner: SpanRunner): Promise<void> {
  await runner.openSession({ maxLength: 600 }).forward(new Float32Array(256)) // left open: the runner's end is its end
}

/** What the process holds once nothing unreachable is left; native buffers are freed a turn after their collection. */
async function memoryAfterCollection(): Promise<NodeJS.MemoryUsage> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let round = 0; round < 3; round++) {
    collect()
    await new Promise((turned) => setImmediate(turned))
  }
  return process.memoryUsage()
}
