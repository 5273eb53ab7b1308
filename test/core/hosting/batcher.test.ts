import { describe, expect, test } from 'vitest'
import { createBatcher } from '#core/hosting/batcher.ts'
import type { ForwardStep, SpanSession } from '#core/ports/engine.ts'

const never = new AbortController().signal

/** A session of which only length and span matter. */
function fakeSession(span = { start: 0, end: 1 }) {
  const session = {
    span,
    length: 0,
    truncate(length: number) {
      session.length = length
    },
  }
  return session as typeof session & SpanSession
}

/** A runner that adds one to all it is given, when it is let; keeps what it was given. */
function fakeRunner(fails: (steps: readonly ForwardStep[]) => boolean = () => false) {
  const batches: (readonly ForwardStep[])[] = []
  const gates: PromiseWithResolvers<void>[] = []
  return {
    batches,
    /** Lets the batch under way finish, once there is one. */
    async release(): Promise<void> {
      await expect.poll(() => gates.length).toBeGreaterThan(0)
      gates.shift()?.resolve()
    },
    async forward(steps: readonly ForwardStep[]) {
      batches.push(steps)
      const gate = Promise.withResolvers<void>()
      gates.push(gate)
      await gate.promise
      if (fails(steps)) throw new Error('broken')
      for (const { session, hidden } of steps) (session as { length: number }).length += hidden.length
      return steps.map(({ hidden }) => hidden.map((value) => value + 1))
    },
  }
}

const of = (...values: number[]) => Float32Array.of(...values)

describe('a batcher', () => {
  test('runs together what was asked for together, and gives each its own', async () => {
    const runner = fakeRunner()
    const batcher = createBatcher(runner, { hiddenSize: 1, maxPositions: 8 })
    const results = [1, 2, 3].map((value) => batcher.forward(fakeSession(), of(value), never))
    await runner.release()
    expect(await Promise.all(results)).toEqual([of(2), of(3), of(4)])
    expect(runner.batches).toHaveLength(1)
  })

  test('gathers what comes while a batch runs into the next', async () => {
    const runner = fakeRunner()
    const batcher = createBatcher(runner, { hiddenSize: 1, maxPositions: 8 })
    const first = batcher.forward(fakeSession(), of(1), never)
    await expect.poll(() => runner.batches.length).toBe(1)
    const others = [2, 3].map((value) => batcher.forward(fakeSession(), of(value), never))
    await runner.release()
    await runner.release()
    await Promise.all([first, ...others])
    expect(runner.batches.map((batch) => batch.length)).toEqual([1, 2])
  })

  test('holds no more positions than fit, and lets short ones pass a long one that does not fit', async () => {
    const runner = fakeRunner()
    const batcher = createBatcher(runner, { hiddenSize: 1, maxPositions: 4 })
    const results = [of(1, 1, 1), of(2, 2, 2), of(3)].map((hidden) => batcher.forward(fakeSession(), hidden, never))
    await runner.release()
    await runner.release()
    await Promise.all(results)
    expect(runner.batches.map((batch) => batch.map(({ hidden }) => hidden[0]))).toEqual([[1, 3], [2]])
  })

  test('runs an input that is longer than a batch by itself', async () => {
    const runner = fakeRunner()
    const batcher = createBatcher(runner, { hiddenSize: 1, maxPositions: 2 })
    const result = batcher.forward(fakeSession(), of(1, 2, 3), never)
    await runner.release()
    expect(await result).toEqual(of(2, 3, 4))
  })

  test('keeps sessions of other blocks for another batch', async () => {
    const runner = fakeRunner()
    const batcher = createBatcher(runner, { hiddenSize: 1, maxPositions: 8 })
    const spans = [
      { start: 0, end: 2 },
      { start: 1, end: 2 },
      { start: 0, end: 2 },
    ]
    const results = spans.map((span, i) => batcher.forward(fakeSession(span), of(i), never))
    await runner.release()
    await runner.release()
    await Promise.all(results)
    expect(runner.batches.map((batch) => batch.map(({ hidden }) => hidden[0]))).toEqual([[0, 2], [1]])
  })

  test('drops one that is aborted while it waits', async () => {
    const runner = fakeRunner()
    const batcher = createBatcher(runner, { hiddenSize: 1, maxPositions: 8 })
    const leaving = new AbortController()
    const first = batcher.forward(fakeSession(), of(1), never)
    await expect.poll(() => runner.batches.length).toBe(1)
    const second = batcher.forward(fakeSession(), of(2), leaving.signal)
    leaving.abort(new Error('gone'))
    await expect(second).rejects.toThrow('gone')
    await runner.release()
    await first
    expect(runner.batches).toHaveLength(1)
  })

  test('takes back one that is aborted in a batch with others, who do not notice', async () => {
    const runner = fakeRunner()
    const batcher = createBatcher(runner, { hiddenSize: 1, maxPositions: 8 })
    const leaving = new AbortController()
    const session = fakeSession()
    const gone = batcher.forward(session, of(1), leaving.signal)
    const stays = batcher.forward(fakeSession(), of(2), never)
    await expect.poll(() => runner.batches.length).toBe(1)
    leaving.abort(new Error('gone'))
    await runner.release()
    await expect(gone).rejects.toThrow('gone')
    expect(session.length).toBe(0)
    expect(await stays).toEqual(of(3))
  })

  test('runs the sessions of a failed batch one by one, so that only those fail that cannot run', async () => {
    const runner = fakeRunner((steps) => steps.some(({ hidden }) => hidden[0] === 13))
    const batcher = createBatcher(runner, { hiddenSize: 1, maxPositions: 8 })
    const results = [of(1), of(13)].map((hidden) => batcher.forward(fakeSession(), hidden, never))
    const settled = Promise.allSettled(results)
    for (let i = 0; i < 3; i++) await runner.release()
    expect((await settled).map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  })
})
