import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { EngineFailedError, ModelNotFoundError } from '#core/errors.ts'
import type { SpanRunner, SpanSession } from '#core/ports/engine.ts'
import { startChildProcess } from '#engines/worker/child-process.ts'
import { createRemoteEngine } from '#engines/worker/remote-engine.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { startTestWorkers, type TestWorkers, transports } from './workers.ts'
import { wrongs } from './wrongs.ts'

const model = randomModel(tinyConfig(), 1)
const span = { start: 0, end: 3 }
const options = { threads: 1 }
const rows = (first: number, tokens = 2) => new Float32Array(tokens * 32).fill(0.5).fill(first, 0, 1)

let workers: TestWorkers | undefined
afterEach(async () => {
  await workers?.dispose()
  workers = undefined
})

for (const [name, start] of Object.entries(transports)) {
  describe(`a worker in ${name}`, () => {
    async function begin(init: Parameters<typeof startTestWorkers>[1] = {}) {
      workers = await startTestWorkers(start, { entry: 'failing-worker.ts', ...init })
      const failures: EngineFailedError[] = []
      workers.client.onFailure((error) => failures.push(error))
      const { engine, client } = workers
      const runner = await engine.loadSpan(model, span, options)
      return { engine, client, failures, runner, session: runner.openSession({ maxLength: 100 }) }
    }

    async function expectDead(runner: SpanRunner, session: SpanSession): Promise<void> {
      await expect(session.forward(rows(0))).rejects.toThrow(EngineFailedError)
      await expect(runner.forward([])).rejects.toThrow(EngineFailedError)
      await expect(runner.loadPatch({ deltas: [], scales: [] })).rejects.toThrow(EngineFailedError)
      expect(() => runner.openSession({ maxLength: 9 })).toThrow(EngineFailedError)
      expect(() => session.truncate(0)).toThrow(EngineFailedError)
      expect(() => session.fork()).toThrow(EngineFailedError)
      expect(session.cacheBytes).toBe(0)
      session.dispose()
      await runner.dispose()
    }

    for (const [wrong, why] of [
      ['throws', /a bug outside/],
      ['saysNonsense', /is not protocol/],
      ['answersWhatWasNotAsked', /is not protocol/],
      ['answersTooLittle', /63 numbers for 64/],
      ['exits', /code 7/],
    ] as const) {
      it(`that ${wrong} fails what was asked of it, by name, and is started again by the next load`, async () => {
        const { engine, failures, runner, session } = await begin()
        const other = runner.openSession({ maxLength: 100 })
        const calls = [session.forward(rows(wrongs[wrong])), other.forward(rows(wrongs.computesFor300Ms))]
        const [first, second] = await Promise.allSettled(calls)
        expect(first).toMatchObject({
          reason: { name: 'EngineFailedError', params: { why: expect.stringMatching(why) } },
        })
        if (wrong !== 'answersTooLittle') expect(second?.status).toBe('rejected')
        expect(failures.length).toBe(1)
        expect(session.length).toBe(0)
        await expectDead(runner, session)

        const again = await engine.loadSpan(model, span, options)
        expect(await again.openSession({ maxLength: 9 }).forward(rows(3))).toEqual(rows(3))
        expect(failures.length).toBe(1)
      })
    }

    it('that hangs is found out, one that computes for longer is not', async () => {
      const watchLimits = { intervalMs: 50, idleLooks: 2, busyLooks: 12 }
      const { failures, session } = await begin({ watchLimits })
      await session.forward(rows(wrongs.computesFor300Ms))
      expect(failures).toEqual([])
      await expect(session.forward(rows(wrongs.hangs))).rejects.toThrow('no sign of life')
      expect(failures.length).toBe(1)
    })

    it('lets a call go within 200 ms of its abort, while it computes on, and the session goes on as it was', async () => {
      const { session } = await begin()
      await session.forward(rows(0, 5))
      const signal = AbortSignal.timeout(30)
      const call = session.forward(rows(wrongs.computesFor300Ms), { signal })
      const abortedAt = delay(30).then(() => performance.now())
      await expect(call).rejects.toMatchObject({ name: 'TimeoutError' })
      expect(performance.now() - (await abortedAt)).toBeLessThan(200)
      expect(session.length).toBe(5)
      expect(await session.forward(rows(2))).toEqual(rows(2))
      expect(session.length).toBe(7)
      expect((await session.exportCache()).length).toBe(7 * 2 * 3 * 32)
    })

    it('that fails again and again is left alone for a while', async () => {
      const restartPolicy = { windowMs: 60_000, limit: 2, firstPauseMs: 1 }
      const { engine, runner, session } = await begin({ restartPolicy })
      await expect(session.forward(rows(wrongs.exits))).rejects.toThrow('code 7')
      await runner.dispose()
      const again = await engine.loadSpan(model, span, options)
      await expect(again.openSession({ maxLength: 9 }).forward(rows(wrongs.exits))).rejects.toThrow('code 7')
      await expect(engine.loadSpan(model, span, options)).rejects.toThrow('failed 2 times')
    })

    it('frees what was opened in it: a thousand sessions, forks and patches leave nothing', async () => {
      const { client, runner } = await begin()
      const stats = () => client.stats()
      await runner.loadPatch({ deltas: [], scales: [] })
      const before = await stats()
      expect(before).toMatchObject({ weightBytes: 4096, patchBytes: 512, cacheBytes: 0, parts: 1, sessions: 1 })
      for (let i = 0; i < 500; i++) {
        const patch = await runner.loadPatch({ deltas: [], scales: [] })
        const session = runner.openSession({ maxLength: 100, patches: [patch] })
        await session.forward(rows(0))
        patch.dispose()
        session.fork().dispose()
        session.dispose()
      }
      expect(await stats()).toEqual({ ...before, residentBytes: expect.any(Number) })
      await runner.dispose()
      expect(await stats()).toMatchObject({
        weightBytes: 0,
        patchBytes: 0,
        cacheBytes: 0,
        parts: 0,
        sessions: 0,
        patches: 0,
      })
    })

    it('says what the model store and the engine say, in their words and classes', async () => {
      const { client } = await begin()
      const unpublished = randomModel(tinyConfig(), 2)
      const loading = createRemoteEngine(client).loadSpan(unpublished, span, options)
      await expect(loading).rejects.toThrow(ModelNotFoundError)
      await expect(workers?.engine.loadEnds(model, options)).rejects.toThrow('only blocks')
      expect(await client.stats()).toMatchObject({ parts: 1 })
    })

    it('frees a load that was given up', async () => {
      const { client, engine } = await begin()
      const controller = new AbortController()
      const loading = engine.loadSpan(model, span, { ...options, signal: controller.signal })
      setImmediate(() => controller.abort())
      await expect(loading).rejects.toMatchObject({ name: 'AbortError' })
      await expect.poll(() => client.stats()).toMatchObject({ parts: 1 }) // the worker loads to the end before it frees
    })

    it('ends when it is asked to, which is no failure, and is not started again', async () => {
      const { client, engine, failures, runner, session } = await begin()
      const call = session.forward(rows(wrongs.computesFor300Ms))
      const outcome = expect(call).rejects.toThrow('shut down')
      await client.dispose()
      await client.dispose()
      await outcome
      expect(failures).toEqual([])
      await expectDead(runner, session)
      await expect(engine.loadSpan(model, span, options)).rejects.toThrow('shut down')
    })
  })
}

it('a child process killed in the middle of a step fails that step, and the next load has another', async () => {
  workers = await startTestWorkers(startChildProcess, { entry: 'failing-worker.ts' })
  const runner = await workers.engine.loadSpan(model, span, options)
  const session = runner.openSession({ maxLength: 9 })
  const call = session.forward(rows(wrongs.hangsAfterNext))
  const outcome = expect(call).rejects.toMatchObject({ name: 'EngineFailedError', params: { why: 'ended by SIGKILL' } })
  await runner.openSession({ maxLength: 9 }).forward(rows(0)) // the step is under way now
  process.kill(workers.started[0]?.pid ?? 0, 'SIGKILL')
  await outcome
  const again = await workers.engine.loadSpan(model, span, options)
  expect((await again.openSession({ maxLength: 9 }).forward(rows(1))).length).toBe(64)
  expect(workers.started.length).toBe(2)
})

for (const [name, start] of Object.entries(transports)) {
  it.each([
    ['is newer', 'is not protocol'],
    ['writes noise', /cannot be read|is not protocol/],
    ['says nothing', 'did not start within 1500 ms'],
  ])(`a worker in ${name} that %s is a failure with a name`, async (strange, why) => {
    const init = { entry: 'strange-worker.ts', args: [strange], startLimitMs: 1_500 }
    await expect(startTestWorkers(start, init)).rejects.toThrow(why)
  })
}

it('a program that is not there is a failure with a name', async () => {
  for (const start of Object.values(transports)) {
    await expect(startTestWorkers(start, { entry: 'nowhere.ts' })).rejects.toThrow(EngineFailedError)
  }
})
