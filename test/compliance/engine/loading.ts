/** Loading: what is read, what is refused, what is said about it. */
import { describe, expect, it } from 'vitest'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import { blockTensors, endTensors } from '#core/models/expected-tensors.ts'
import { weightFormats } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { withConfig } from './inputs.ts'
import { type EngineUnderTest, outOfRange, wholeSpan } from './under-test.ts'

export function describeLoading({ engine, loadSpan, loadEnds }: EngineUnderTest): void {
  describe('loading', () => {
    it('reads tensors of the asked blocks, and no others', async () => {
      for (const changes of [{}, { attentionBias: true, queryKeyNorm: true }] as const) {
        const config = tinyConfig({ blockCount: 4, ...changes })
        const model = randomModel(config, 80)
        await loadSpan(model, { span: { start: 1, end: 3 } })
        const names = [1, 2].flatMap((index) => blockTensors(config, index).map(({ name }) => name))
        // What an engine keeps prepared on disk it need not read again: fewer are fine.
        expect(names).toEqual(expect.arrayContaining([...new Set(model.reads)]))
        expect(names.length).toBeGreaterThanOrEqual(model.reads.length)
      }
    })

    it('reads embedding, final norm and head for the ends, and nothing of the blocks', async () => {
      for (const tiedHead of [false, true]) {
        const config = tinyConfig({ tiedHead })
        const model = randomModel(config, 81)
        await loadEnds(model)
        const names = endTensors(config).map(({ name }) => name)
        expect(names).toEqual(expect.arrayContaining([...new Set(model.reads)]))
      }
    })

    it('reports progress block by block', async () => {
      const model = randomModel(tinyConfig(), 82)
      const progress: unknown[] = []
      const onProgress = (step: unknown) => progress.push(step)
      const runner = await engine().loadSpan(model, { start: 1, end: 3 }, { threads: 1, onProgress })
      await runner.dispose()
      expect(progress).toEqual([
        { blocksLoaded: 1, blocksTotal: 2 },
        { blocksLoaded: 2, blocksTotal: 2 },
      ])
    })

    it('stops at an abort', async () => {
      const model = randomModel(tinyConfig({ blockCount: 12 }), 83)
      const controller = new AbortController()
      const abortingAt = (aborted: string): ModelHandle => ({
        ...model,
        readTensor(name, options) {
          if (name === aborted) controller.abort()
          return model.readTensor(name, options)
        },
      })
      const options = { threads: 1, signal: controller.signal }
      const loading = engine().loadSpan(abortingAt(tensorNames.block(1).query), wholeSpan(model), options)
      await expect(loading).rejects.toMatchObject({ name: 'AbortError' })
      expect(model.reads.length).toBeLessThan(6 * blockTensors(model.manifest.config, 0).length)
      await expect(engine().loadEnds(model, options)).rejects.toMatchObject({ name: 'AbortError' })
    })

    it('refuses blocks the model does not have, fewer than one thread, and formats the engine does not have', async () => {
      const model = randomModel(tinyConfig(), 84)
      const span = wholeSpan(model)
      await expect(engine().loadSpan(model, { start: 2, end: 4 }, { threads: 1 })).rejects.toMatchObject(outOfRange)
      for (const threads of [0, 1.5]) {
        await expect(engine().loadSpan(model, span, { threads })).rejects.toMatchObject(outOfRange)
        await expect(engine().loadEnds(model, { threads })).rejects.toMatchObject(outOfRange)
      }
      for (const format of weightFormats.filter((each) => !engine().formats.includes(each))) {
        await expect(engine().loadSpan(model, span, { threads: 1, format })).rejects.toMatchObject(outOfRange)
        await expect(engine().loadEnds(model, { threads: 1, format })).rejects.toMatchObject(outOfRange)
        expect(() => engine().numericsClass(format)).toThrow(RangeError)
      }
      expect(model.reads).toEqual([])
    })

    it('refuses a tensor of another shape than the configuration asks for, and one that is not there', async () => {
      const model = randomModel(tinyConfig(), 85)
      const lies: Partial<ModelConfig>[] = [{ intermediateSize: 64 }, { attentionBias: true }]
      for (const lie of lies) {
        const lying = withConfig(model, tinyConfig(lie))
        const loading = engine().loadSpan(lying, wholeSpan(model), { threads: 1 })
        await expect(loading).rejects.toMatchObject({ name: 'ModelFormatError' })
      }
      const largerVocabulary = withConfig(model, tinyConfig({ vocabularySize: 41 }))
      const ends = engine().loadEnds(largerVocabulary, { threads: 1 })
      await expect(ends).rejects.toMatchObject({ name: 'ModelFormatError' })
    })

    it('names the numerics class of what was loaded', async () => {
      const { backend, formats } = engine()
      expect(formats).toContain('float32')
      const model = randomModel(tinyConfig(), 86)
      for (const format of formats) {
        const numericsClass = engine().numericsClass(format)
        expect(numericsClass).toMatchObject({ backend, weights: format })
        expect(numericsClass.kernelVersion.length).toBeGreaterThan(0)
        expect(numericsClass.weightGroup === null).toBe(format === 'float32' || format === 'float16')
        expect((await loadSpan(model, { format })).numericsClass).toEqual(numericsClass)
        expect((await loadEnds(model, { format })).numericsClass).toEqual(numericsClass)
      }
      expect((await loadSpan(model)).numericsClass).toEqual(engine().numericsClass('float32'))
    })
  })
}
