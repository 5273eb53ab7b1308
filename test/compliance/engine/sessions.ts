/** One sequence: appending, aborting, refusing and ending. */
import { describe, expect, it } from 'vitest'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { forwardInParts, inputOf, outputOf, randomFloats, someTokens } from './inputs.ts'
import { oracle } from './oracle.ts'
import { type EngineUnderTest, misuse, outOfRange, tooLong } from './under-test.ts'

const width = 32 // hidden size of the tiny model

export function describeSessions({ loadSpan, expectClose }: EngineUnderTest): void {
  describe('a session', () => {
    it('gives the same for prefill at once, token by token, and in a mix', async () => {
      const model = randomModel(tinyConfig(), 5)
      const expected = await oracle(model, someTokens)
      const runner = await loadSpan(model)
      for (const parts of [[9], [1, 1, 1, 1, 1, 1, 1, 1, 1], [4, 1, 1, 3]]) {
        const output = await forwardInParts(runner.openSession({ maxLength: 9 }), inputOf(expected), parts)
        expectClose(output, outputOf(expected))
      }
    })

    it('over a sub-span runs those blocks only, and sub-spans one after the other make the span', async () => {
      const model = randomModel(tinyConfig({ blockCount: 4 }), 6)
      const expected = await oracle(model, someTokens)
      const runner = await loadSpan(model, { span: { start: 1, end: 4 } })
      let x = Float32Array.from(expected.hidden[1] as Float64Array)
      for (const span of [
        { start: 1, end: 2 },
        { start: 2, end: 4 },
      ]) {
        const session = runner.openSession({ maxLength: 9, span })
        expect(session.span).toEqual(span)
        x = await forwardInParts(session, x, [5, 4])
        expectClose(x, expected.hidden[span.end] as Float64Array)
      }
    })

    it('is independent of others, run in turn or at once', async () => {
      const model = randomModel(tinyConfig(), 7)
      const runner = await loadSpan(model)
      const sequences = [someTokens, someTokens.toReversed()]
      const expected = await Promise.all(sequences.map((tokens) => oracle(model, tokens)))
      const sessions = sequences.map((tokens) => runner.openSession({ maxLength: tokens.length }))
      const outputs = await Promise.all(
        sessions.map((session, i) => forwardInParts(session, inputOf(expected[i]), [2, 1, 1, 5])),
      )
      for (const [i, output] of outputs.entries()) expectClose(output, outputOf(expected[i]))
    })

    it('reads a view into a larger buffer, and leaves its input alone', async () => {
      const model = randomModel(tinyConfig(), 8)
      const expected = await oracle(model, someTokens)
      const input = inputOf(expected)
      const larger = new Float32Array(input.length + 7)
      larger.set(input, 3)
      const session = (await loadSpan(model)).openSession({ maxLength: 9 })
      expectClose(await session.forward(larger.subarray(3, 3 + input.length)), outputOf(expected))
      expect(larger.subarray(3, 3 + input.length)).toEqual(input)
    })

    it('gives results that are the caller’s: later calls do not change them', async () => {
      const model = randomModel(tinyConfig(), 9)
      const session = (await loadSpan(model)).openSession({ maxLength: 9 })
      const first = await session.forward(randomFloats(2 * width, 1))
      const copy = first.slice()
      await session.forward(randomFloats(2 * width, 2))
      expect(first).toEqual(copy)
    })

    it('forgets by truncating: what is appended then is as if the rest had never been', async () => {
      const model = randomModel(tinyConfig(), 10)
      const expected = await oracle(model, someTokens)
      const input = inputOf(expected)
      const session = (await loadSpan(model)).openSession({ maxLength: 9 })
      await session.forward(input.subarray(0, 4 * width))
      await session.forward(new Float32Array(5 * width).fill(Number.NaN))
      session.truncate(4)
      expect(session.length).toBe(4)
      const rest = await forwardInParts(session, input.subarray(4 * width), [1, 1, 3])
      expectClose(rest, outputOf(expected).subarray(4 * width))
      for (const length of [10, -1, 1.5, Number.NaN]) expect(() => session.truncate(length)).toThrow(RangeError)
      session.truncate(0)
      expectClose(await session.forward(input), outputOf(expected))
    })

    it('rolls back over and over, as speculative decoding does', async () => {
      const model = randomModel(tinyConfig({ contextLength: 600, slidingWindow: 50 }), 11)
      const tokens = Array.from({ length: 90 }, (_, i) => (i * 7) % 40)
      const expected = await oracle(model, tokens)
      const input = inputOf(expected)
      const session = (await loadSpan(model)).openSession({ maxLength: 100 })
      for (let position = 0; position < 90; position += 10) {
        await session.forward(randomFloats(8 * width, position))
        session.truncate(position)
        const output = await session.forward(input.subarray(position * width, (position + 10) * width))
        expectClose(output, outputOf(expected).subarray(position * width, (position + 10) * width))
      }
    })

    it('refuses positions past maxLength and stays as it was', async () => {
      const model = randomModel(tinyConfig(), 12)
      const expected = await oracle(model, someTokens)
      const input = inputOf(expected)
      const session = (await loadSpan(model)).openSession({ maxLength: 9 })
      await session.forward(input.subarray(0, 5 * width))
      await expect(session.forward(new Float32Array(5 * width))).rejects.toMatchObject(tooLong)
      expect(session.length).toBe(5)
      expectClose(await session.forward(input.subarray(5 * width)), outputOf(expected).subarray(5 * width))
    })

    it('refuses what is not whole rows', async () => {
      const session = (await loadSpan(randomModel(tinyConfig(), 13))).openSession({ maxLength: 9 })
      await expect(session.forward(new Float32Array(33))).rejects.toMatchObject(outOfRange)
      await expect(session.forward(new Float32Array(0))).rejects.toMatchObject(outOfRange)
      expect(session.length).toBe(0)
    })

    it('stops at an abort with the signal’s reason, and stays as it was', async () => {
      const model = randomModel(tinyConfig({ blockCount: 6 }), 14)
      const expected = await oracle(model, someTokens)
      const input = inputOf(expected)
      const session = (await loadSpan(model)).openSession({ maxLength: 9 })
      await session.forward(input.subarray(0, 2 * width))
      const controller = new AbortController()
      const call = session.forward(new Float32Array(4 * width).fill(1), { signal: controller.signal })
      const reason = new Error('nobody wants it')
      controller.abort(reason)
      await expect(call).rejects.toBe(reason)
      expect(session.length).toBe(2)
      const earlier = AbortSignal.abort()
      await expect(session.forward(input.subarray(2 * width), { signal: earlier })).rejects.toBe(earlier.reason)
      expectClose(await session.forward(input.subarray(2 * width)), outputOf(expected).subarray(2 * width))
    })

    it('is, after an abort at any moment, either as before the call or as after it', async () => {
      const model = randomModel(tinyConfig({ blockCount: 6 }), 15)
      const expected = await oracle(model, someTokens)
      const input = inputOf(expected)
      const runner = await loadSpan(model)
      for (let turns = 1; turns <= 6; turns++) {
        const session = runner.openSession({ maxLength: 9 })
        const controller = new AbortController()
        const call = session.forward(input.subarray(0, 5 * width), { signal: controller.signal })
        const outcome = call.then(
          () => 5,
          () => 0,
        )
        for (let turn = 0; turn < turns; turn++) await new Promise((turned) => setImmediate(turned))
        controller.abort()
        expect(session.length).toBe(await outcome)
        const rest = await session.forward(input.subarray(session.length * width))
        expectClose(rest, outputOf(expected).subarray(outputOf(expected).length - rest.length))
      }
    })

    it('refuses calls that overlap, and the first of them is not disturbed', async () => {
      const model = randomModel(tinyConfig(), 16)
      const expected = await oracle(model, someTokens)
      const session = (await loadSpan(model)).openSession({ maxLength: 20 })
      const first = session.forward(inputOf(expected))
      await expect(session.forward(inputOf(expected))).rejects.toMatchObject(misuse)
      expect(() => session.truncate(0)).toThrow('overlap')
      expect(() => session.fork()).toThrow('overlap')
      await expect(session.exportCache()).rejects.toMatchObject(misuse)
      expectClose(await first, outputOf(expected))
      expect(session.length).toBe(9)
    })

    it('throws once disposed, also in the middle of a call, and may be disposed again', async () => {
      const session = (await loadSpan(randomModel(tinyConfig(), 17))).openSession({ maxLength: 9 })
      const call = session.forward(new Float32Array(width))
      session.dispose()
      session.dispose()
      await expect(call).rejects.toMatchObject(misuse)
      await expect(session.forward(new Float32Array(width))).rejects.toThrow('disposed')
      await expect(session.exportCache()).rejects.toThrow('disposed')
      expect(() => session.truncate(0)).toThrow('disposed')
      expect(() => session.fork()).toThrow('disposed')
      expect(session.cacheBytes).toBe(0)
    })
  })
}
