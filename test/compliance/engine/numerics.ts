/** An engine computes what `core/numerics` computes. */
import { describe, it } from 'vitest'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { forwardInParts, inputOf, manyTokens, outputOf, shapes, someTokens } from './inputs.ts'
import { oracle } from './oracle.ts'
import type { EngineUnderTest } from './under-test.ts'

export function describeNumerics({ loadSpan, loadEnds, expectClose }: EngineUnderTest): void {
  describe('computes what core/numerics computes', () => {
    for (const [shape, changes] of Object.entries(shapes)) {
      it(`for a model with ${shape}`, async () => {
        const model = randomModel(tinyConfig(changes), 1)
        const expected = await oracle(model, someTokens)
        const ends = await loadEnds(model)
        const session = (await loadSpan(model)).openSession({ maxLength: someTokens.length })
        const hidden = await forwardInParts(session, await ends.embed(someTokens), [6, 1, 2])
        expectClose(hidden, outputOf(expected))
        expectClose(await ends.logits(hidden), expected.logits)
      })
    }

    for (const dtype of ['F16', 'BF16'] as const) {
      it(`from ${dtype} weights`, async () => {
        const model = randomModel(tinyConfig(), 2, dtype)
        const expected = await oracle(model, someTokens)
        const ends = await loadEnds(model)
        expectClose(await ends.embed(someTokens), expected.hidden[0] as Float64Array)
        const session = (await loadSpan(model)).openSession({ maxLength: 20 })
        const hidden = await session.forward(await ends.embed(someTokens))
        expectClose(await ends.logits(hidden), expected.logits)
      })
    }

    it('with several threads', async () => {
      const model = randomModel(tinyConfig(), 3)
      const expected = await oracle(model, someTokens)
      const runner = await loadSpan(model, { threads: 2 })
      expectClose(await runner.openSession({ maxLength: 20 }).forward(inputOf(expected)), outputOf(expected))
    })

    it('for a sequence of hundreds of tokens, prefilled in uneven parts', async () => {
      const model = randomModel(tinyConfig({ blockCount: 2, hiddenSize: 16 }), 4)
      const tokens = manyTokens(330)
      const expected = await oracle(model, tokens)
      const ends = await loadEnds(model)
      const session = (await loadSpan(model)).openSession({ maxLength: 400 })
      const hidden = await forwardInParts(session, inputOf(expected), [1, 200, 1, 127, 1])
      expectClose(hidden, outputOf(expected))
      expectClose(await ends.logits(hidden), expected.logits)
    })

    it('within a window that hundreds of tokens leave behind', async () => {
      const model = randomModel(tinyConfig({ blockCount: 2, hiddenSize: 16, slidingWindow: 40 }), 5)
      const expected = await oracle(model, manyTokens(300))
      const session = (await loadSpan(model)).openSession({ maxLength: 300 })
      expectClose(await forwardInParts(session, inputOf(expected), [150, 1, 1, 148]), outputOf(expected))
    })
  })
}
