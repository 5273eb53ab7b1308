/** What stays with whoever generates: embedding, final norm and head. */
import { describe, expect, it } from 'vitest'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { randomFloats } from './inputs.ts'
import { type EngineUnderTest, misuse, outOfRange } from './under-test.ts'

export function describeEnds({ loadEnds, expectClose }: EngineUnderTest): void {
  describe('the ends', () => {
    it('refuse ids outside the vocabulary', async () => {
      const ends = await loadEnds(randomModel(tinyConfig(), 90))
      for (const id of [-1, 40, 0.5, Number.NaN]) await expect(ends.embed([1, id])).rejects.toMatchObject(outOfRange)
      expect((await ends.embed([])).length).toBe(0)
    })

    it('tell what they hold', async () => {
      const matrixBytes = 40 * 32 * 4
      for (const tiedHead of [true, false]) {
        const ends = await loadEnds(randomModel(tinyConfig({ tiedHead }), 91))
        expect(ends.weightBytes).toBeGreaterThanOrEqual(matrixBytes)
        expect(ends.weightBytes).toBeLessThan(3 * matrixBytes)
      }
    })

    it('give the same logits for rows together and apart, in calls one after the other or at once', async () => {
      const ends = await loadEnds(randomModel(tinyConfig(), 92))
      const rows = randomFloats(70 * 32, 1)
      const together = await ends.logits(rows)
      const starts = [0, 1, 33, 69]
      const apart = await Promise.all(starts.map((row) => ends.logits(rows.subarray(row * 32, (row + 1) * 32))))
      for (const [i, row] of starts.entries()) {
        expectClose(apart[i] ?? [], together.subarray(row * 40, (row + 1) * 40))
      }
    })

    it('stop at an abort with the signal’s reason', async () => {
      const ends = await loadEnds(randomModel(tinyConfig(), 93))
      const rows = randomFloats(3 * 32, 2)
      const earlier = AbortSignal.abort()
      await expect(ends.logits(rows, { signal: earlier })).rejects.toBe(earlier.reason)
      await expect(ends.embed([1], { signal: earlier })).rejects.toBe(earlier.reason)
      const controller = new AbortController()
      const call = ends.logits(rows, { signal: controller.signal })
      controller.abort()
      await expect(call).rejects.toBe(controller.signal.reason)
      expect((await ends.logits(rows)).length).toBe(3 * 40)
    })

    it('throw once disposed, after a call under way has ended, and may be disposed again', async () => {
      const ends = await loadEnds(randomModel(tinyConfig(), 94))
      const hidden = await ends.embed([1])
      const call = ends.logits(hidden)
      await ends.dispose()
      await ends.dispose()
      expect((await call).length).toBe(40)
      await expect(ends.logits(hidden)).rejects.toMatchObject(misuse)
      await expect(ends.embed([1])).rejects.toThrow('disposed')
      await expect(ends.loadPatch({ deltas: [], scales: [] })).rejects.toMatchObject(misuse)
    })

    it('refuse what is not whole rows', async () => {
      const ends = await loadEnds(randomModel(tinyConfig(), 95))
      await expect(ends.logits(new Float32Array(33))).rejects.toMatchObject(outOfRange)
      await expect(ends.logits(new Float32Array(0))).rejects.toMatchObject(outOfRange)
    })
  })
}
