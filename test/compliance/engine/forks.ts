/** Sessions made from sessions: by sharing a prefix, and by moving a cache. */
import { describe, expect, it } from 'vitest'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { forwardInParts, inputOf, manyTokens, outputOf, randomFloats, randomPatch, someTokens } from './inputs.ts'
import { oracle } from './oracle.ts'
import { type EngineUnderTest, outOfRange } from './under-test.ts'

const width = 32 // hidden size of the tiny model

export function describeForks({ loadSpan, expectClose }: EngineUnderTest): void {
  describe('a fork', () => {
    it('starts with the prefix and goes its own way, as does the first', async () => {
      const model = randomModel(tinyConfig(), 30)
      const prefix = manyTokens(37)
      const endings = [
        [1, 2, 3],
        [39, 38, 37],
        [8, 8, 8],
      ] as const
      const expected = await Promise.all(endings.map((ending) => oracle(model, [...prefix, ...ending])))
      const first = (await loadSpan(model)).openSession({ maxLength: 50 })
      await first.forward(inputOf(expected[0]).subarray(0, 37 * width))
      const second = first.fork()
      const third = second.fork(37)
      expect([second.length, third.length, second.maxLength]).toEqual([37, 37, 50])
      for (const [i, session] of [third, first, second].entries()) {
        const rest = await forwardInParts(session, inputOf(expected[i]).subarray(37 * width), [1, 1, 1])
        expectClose(rest, outputOf(expected[i]).subarray(37 * width))
      }
    })

    it('may start with fewer positions, and leaves the first as long as it was', async () => {
      const model = randomModel(tinyConfig(), 31)
      const expected = await oracle(model, someTokens)
      const input = inputOf(expected)
      const first = (await loadSpan(model)).openSession({ maxLength: 9 })
      await first.forward(input.subarray(0, 6 * width))
      const short = first.fork(2)
      const empty = first.fork(0)
      expect([first.length, short.length, empty.length]).toEqual([6, 2, 0])
      await short.forward(randomFloats(3 * width, 1))
      short.truncate(2)
      expectClose(await first.forward(input.subarray(6 * width)), outputOf(expected).subarray(6 * width))
      expectClose(await short.forward(input.subarray(2 * width)), outputOf(expected).subarray(2 * width))
      expectClose(await empty.forward(input), outputOf(expected))
      for (const length of [-1, 10, 0.5]) expect(() => first.fork(length)).toThrow(RangeError)
    })

    it('outlives the session it came from, truncated or disposed', async () => {
      const model = randomModel(tinyConfig(), 32)
      const expected = await oracle(model, someTokens)
      const input = inputOf(expected)
      const runner = await loadSpan(model)
      const first = runner.openSession({ maxLength: 9 })
      await first.forward(input.subarray(0, 5 * width))
      const [second, third] = [first.fork(), first.fork()]
      first.truncate(1)
      await first.forward(randomFloats(8 * width, 2))
      expectClose(await second.forward(input.subarray(5 * width)), outputOf(expected).subarray(5 * width))
      first.dispose()
      second.dispose()
      await runner.openSession({ maxLength: 9 }).forward(randomFloats(9 * width, 3))
      expectClose(await third.forward(input.subarray(5 * width)), outputOf(expected).subarray(5 * width))
    })

    it('keeps the sub-span and the patches', async () => {
      const config = tinyConfig()
      const model = randomModel(config, 33)
      const patch = randomPatch(config, 1)
      const expected = await oracle(model, someTokens, { patches: [patch] })
      const runner = await loadSpan(model)
      const loaded = await runner.loadPatch(patch)
      const span = { start: 1, end: 3 }
      const first = runner.openSession({ maxLength: 9, span, patches: [loaded] })
      const input = Float32Array.from(expected.hidden[1] as Float64Array)
      await first.forward(input.subarray(0, 4 * width))
      const second = first.fork()
      loaded.dispose()
      first.dispose()
      expect(second.span).toEqual(span)
      expectClose(await second.forward(input.subarray(4 * width)), outputOf(expected).subarray(4 * width))
    })
  })

  describe('a cache', () => {
    it('moves a session to another runner', async () => {
      const model = randomModel(tinyConfig(), 34)
      const expected = await oracle(model, someTokens)
      const input = inputOf(expected)
      const first = (await loadSpan(model)).openSession({ maxLength: 9 })
      await first.forward(input.subarray(0, 5 * width))
      const cache = await first.exportCache()
      expect(cache.length).toBe(3 * 2 * 5 * 32) // blocks, keys and values, positions, kv width
      await first.forward(input.subarray(5 * width))
      first.dispose()

      const second = (await loadSpan(model)).openSession({ maxLength: 20 })
      await second.importCache(cache)
      cache.fill(Number.NaN)
      expect(second.length).toBe(5)
      expectClose(await second.forward(input.subarray(5 * width)), outputOf(expected).subarray(5 * width))
      second.truncate(2)
      expectClose(await second.forward(input.subarray(2 * width)), outputOf(expected).subarray(2 * width))
    })

    it('of a forked and truncated session is what that session would go on with', async () => {
      const model = randomModel(tinyConfig(), 35)
      const expected = await oracle(model, manyTokens(80))
      const input = inputOf(expected)
      const runner = await loadSpan(model)
      const first = runner.openSession({ maxLength: 80 })
      await first.forward(input)
      const fork = first.fork(70)
      fork.truncate(66)
      const moved = runner.openSession({ maxLength: 80 })
      await moved.importCache(await fork.exportCache())
      expectClose(await moved.forward(input.subarray(66 * width)), outputOf(expected).subarray(66 * width))
    })

    it('is empty for an empty session, and taken by an empty session only, in whole positions that fit', async () => {
      const runner = await loadSpan(randomModel(tinyConfig(), 36))
      const session = runner.openSession({ maxLength: 4 })
      const empty = await session.exportCache()
      expect(empty.length).toBe(0)
      await session.importCache(empty)
      expect(session.length).toBe(0)
      const position = 3 * 2 * 32
      for (const size of [position - 1, position + 32, 5 * position]) {
        await expect(session.importCache(new Float32Array(size))).rejects.toMatchObject(outOfRange)
      }
      await session.importCache(randomFloats(4 * position, 1))
      expect(session.length).toBe(4)
      await expect(session.importCache(new Float32Array(position))).rejects.toMatchObject(outOfRange)
    })
  })
}
