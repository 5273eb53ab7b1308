/** Several sessions in one call. */
import { describe, expect, it } from 'vitest'
import type { ForwardStep } from '#core/ports/engine.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { inputOf, manyTokens, outputOf, randomFloats, someTokens } from './inputs.ts'
import { oracle } from './oracle.ts'
import { type EngineUnderTest, misuse, outOfRange, tooLong } from './under-test.ts'

const width = 32 // hidden size of the tiny model

export function describeBatches({ loadSpan, expectClose }: EngineUnderTest): void {
  describe('a batch', () => {
    for (const [name, changes] of Object.entries({
      'a Llama': {},
      'a sliding window and biases': { slidingWindow: 7, attentionBias: true, ropeStyle: 'interleaved' },
      'query and key norms': { queryKeyNorm: true, headSize: 12 },
    } as const)) {
      it(`of prefills and decodes at different positions gives what each gives alone: ${name}`, async () => {
        const model = randomModel(tinyConfig(changes), 40)
        const runner = await loadSpan(model)
        // Positions before the batch, positions in it: long and short prefills, from the start and later, and decodes.
        const plans = [
          [0, 140],
          [12, 1],
          [0, 1],
          [70, 1],
          [5, 4],
        ] as const
        const steps: ForwardStep[] = []
        const expected: Float64Array[] = []
        for (const [i, [before, now]] of plans.entries()) {
          const answer = await oracle(model, manyTokens(before + now + i).slice(i))
          const session = runner.openSession({ maxLength: 200 })
          const hidden = inputOf(answer)
          if (before > 0) await session.forward(hidden.subarray(0, before * width))
          steps.push({ session, hidden: hidden.subarray(before * width) })
          expected.push(outputOf(answer).subarray(before * width))
        }
        const outputs = await runner.forward(steps)
        for (const [i, [before, now]] of plans.entries()) {
          expectClose(outputs[i] ?? [], expected[i] ?? [])
          expect(steps[i]?.session.length).toBe(before + now)
        }
      })
    }

    it('of eight sessions decodes step by step as each alone', async () => {
      const model = randomModel(tinyConfig(), 41)
      const runner = await loadSpan(model)
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, i) => oracle(model, manyTokens(20 + i).slice(i))), // 20 tokens each
      )
      const sessions = answers.map(() => runner.openSession({ maxLength: 20 }))
      for (let position = 0; position < 20; position++) {
        const row = (x: Float32Array) => x.subarray(position * width, (position + 1) * width)
        const outputs = await runner.forward(
          sessions.map((session, i) => ({ session, hidden: row(inputOf(answers[i])) })),
        )
        for (const [i, output] of outputs.entries()) {
          expectClose(output, outputOf(answers[i]).subarray(position * width, (position + 1) * width))
        }
      }
    })

    it('runs sessions over a sub-span, and forks beside the session they came from', async () => {
      const model = randomModel(tinyConfig(), 42)
      const expected = await oracle(model, someTokens)
      const input = Float32Array.from(expected.hidden[1] as Float64Array)
      const runner = await loadSpan(model)
      const session = runner.openSession({ maxLength: 9, span: { start: 1, end: 2 } })
      await session.forward(input.subarray(0, 5 * width))
      const hidden = input.subarray(5 * width)
      const outputs = await runner.forward([
        { session, hidden },
        { session: session.fork(), hidden },
      ])
      for (const output of outputs) expectClose(output, (expected.hidden[2] as Float64Array).subarray(5 * width))
    })

    it('may run while another of other sessions does', async () => {
      const model = randomModel(tinyConfig(), 43)
      const expected = await oracle(model, someTokens)
      const runner = await loadSpan(model)
      const batch = () =>
        [1, 2].map(() => ({ session: runner.openSession({ maxLength: 9 }), hidden: inputOf(expected) }))
      const outputs = await Promise.all([runner.forward(batch()), runner.forward(batch())])
      for (const output of outputs.flat()) expectClose(output, outputOf(expected))
    })

    it('of nothing gives nothing', async () => {
      const runner = await loadSpan(randomModel(tinyConfig(), 44))
      expect(await runner.forward([])).toEqual([])
    })

    it('is refused before any work when a session is in it twice, busy, disposed, another runner’s or of other blocks', async () => {
      const model = randomModel(tinyConfig(), 45)
      const expected = await oracle(model, someTokens)
      const runner = await loadSpan(model)
      const open = (span = runner.span) => runner.openSession({ maxLength: 9, span })
      const foreign = (await loadSpan(model)).openSession({ maxLength: 9 })
      const disposed = open()
      disposed.dispose()
      const busy = open()
      const call = busy.forward(inputOf(expected))
      const good = open()
      const hidden = inputOf(expected)
      for (const other of [good, busy, disposed, foreign, open({ start: 0, end: 2 })]) {
        const steps = [good, other].map((session) => ({ session, hidden }))
        await expect(runner.forward(steps)).rejects.toMatchObject(misuse)
        expect(good.length).toBe(0)
      }
      expectClose(await call, outputOf(expected))
      expect(foreign.length).toBe(0)
      expectClose(await good.forward(hidden), outputOf(expected))
    })

    it('that fails leaves every session as it was', async () => {
      const model = randomModel(tinyConfig({ blockCount: 6 }), 46)
      const expected = await oracle(model, someTokens)
      const input = inputOf(expected)
      const runner = await loadSpan(model)
      const [long, short] = [runner.openSession({ maxLength: 9 }), runner.openSession({ maxLength: 4 })]
      const start = input.subarray(0, 2 * width)
      await runner.forward([long, short].map((session) => ({ session, hidden: start })))
      const steps = (tokens: number): ForwardStep[] => [
        { session: long, hidden: randomFloats(2 * width, 1) },
        { session: short, hidden: randomFloats(tokens * width, 2) },
      ]
      await expect(runner.forward(steps(3))).rejects.toMatchObject(tooLong)
      await expect(runner.forward(steps(1 / 2))).rejects.toMatchObject(outOfRange)
      const controller = new AbortController()
      const aborted = runner.forward(steps(2), { signal: controller.signal })
      controller.abort()
      await expect(aborted).rejects.toBe(controller.signal.reason)
      const ended = runner.openSession({ maxLength: 9 })
      const withEnded = runner.forward([...steps(2), { session: ended, hidden: start }])
      ended.dispose()
      await expect(withEnded).rejects.toMatchObject(misuse)

      expect([long.length, short.length]).toEqual([2, 2])
      const outputs = await runner.forward([
        { session: long, hidden: input.subarray(2 * width) },
        { session: short, hidden: input.subarray(2 * width, 4 * width) },
      ])
      expectClose(outputs[0] ?? [], outputOf(expected).subarray(2 * width))
      expectClose(outputs[1] ?? [], outputOf(expected).subarray(2 * width, 4 * width))
    })
  })
}
