/** What every engine promises, run on every engine: the port's contract, with `core/numerics` as the oracle. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, describe, expect, it } from 'vitest'
import { type ModelConfig, tensorNames } from '#contracts/model/manifest.ts'
import type { Span } from '#contracts/span.ts'
import { ContextTooLongError, ModelFormatError } from '#core/errors.ts'
import { decodeFloats } from '#core/numerics/dtypes.ts'
import { type ModelActivations, modelForward } from '#core/numerics/model.ts'
import type { Engine, ModelEnds, SpanRunner } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { readBlockWeights, readStoredEnds } from '#engines/shared/read-weights.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'
import { createRandom, type RandomModel, randomModel, tinyConfig } from '#test/fakes/model-handle.ts'

/** The oracle's answer for `tokens`, computed in float64 from the same weights. */
export async function oracle(model: ModelHandle, tokens: readonly number[]): Promise<ModelActivations> {
  const { config } = model.manifest
  const { embedding, finalNorm, head } = await readStoredEnds(model, {})
  const blocks = await Promise.all(
    Array.from({ length: config.blockCount }, (_, index) => readBlockWeights(model, index, {})),
  )
  const floats = (tensor: typeof embedding) => decodeFloats(tensor.dtype, tensor.bytes)
  return modelForward(
    tokens,
    { embedding: floats(embedding), blocks, finalNorm: floats(finalNorm), head: floats(head) },
    config,
  )
}

const shapes: Record<string, Partial<ModelConfig>> = {
  'grouped heads': {},
  'one kv head': { kvHeadCount: 1 },
  'as many kv heads as heads': { kvHeadCount: 4 },
  'interleaved rope': { ropeStyle: 'interleaved' },
  'a tied head': { tiedHead: true },
  'small heads': { headSize: 8 },
  'small heads with interleaved rope': { headSize: 8, ropeStyle: 'interleaved' },
  'heads of an odd size': { headSize: 22, headCount: 3, kvHeadCount: 1 },
  'heads of an odd size with interleaved rope': { headSize: 6, ropeStyle: 'interleaved' },
}

/** `tolerance` is relative, as `relativeError` has it. */
export function describeEngine(name: string, create: () => Engine, { tolerance }: { tolerance: number }): void {
  describe(name, () => {
    const loaded: (SpanRunner | ModelEnds)[] = []
    afterEach(async () => {
      await Promise.all(loaded.splice(0).map((part) => part.dispose()))
    })

    async function loadSpan(model: ModelHandle, span: Span = wholeSpan(model)): Promise<SpanRunner> {
      const runner = await create().loadSpan(model, span, { threads: 1 })
      loaded.push(runner)
      return runner
    }
    async function loadEnds(model: ModelHandle): Promise<ModelEnds> {
      const ends = await create().loadEnds(model, { threads: 1 })
      loaded.push(ends)
      return ends
    }
    function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
      expect(relativeError(actual, expected)).toBeLessThan(tolerance)
    }

    describe('computes what core/numerics computes', () => {
      for (const [shape, changes] of Object.entries(shapes)) {
        it(`for a model with ${shape}`, async () => {
          const model = randomModel(tinyConfig(changes), 1)
          const expected = await oracle(model, someTokens)
          const ends = await loadEnds(model)
          const session = (await loadSpan(model)).openSession({ maxLength: someTokens.length })
          const hidden = await session.forward(ends.embed(someTokens))
          expectClose(hidden, lastOf(expected.hidden))
          expectClose(await ends.logits(hidden), expected.logits)
        })
      }

      for (const dtype of ['F16', 'BF16'] as const) {
        it(`from ${dtype} weights`, async () => {
          const model = randomModel(tinyConfig(), 2, dtype)
          const expected = await oracle(model, someTokens)
          const ends = await loadEnds(model)
          expectClose(ends.embed(someTokens), expected.hidden[0] as Float64Array)
          const session = (await loadSpan(model)).openSession({ maxLength: 20 })
          const hidden = await session.forward(ends.embed(someTokens))
          expectClose(await ends.logits(hidden), expected.logits)
        })
      }

      it('with several threads', async () => {
        const model = randomModel(tinyConfig(), 3)
        const expected = await oracle(model, someTokens)
        const runner = await create().loadSpan(model, wholeSpan(model), { threads: 2 })
        loaded.push(runner)
        expectClose(await runner.openSession({ maxLength: 20 }).forward(inputOf(expected)), lastOf(expected.hidden))
      })

      it('for a sequence of hundreds of tokens, prefilled in uneven parts', async () => {
        const model = randomModel(tinyConfig({ blockCount: 2, hiddenSize: 16 }), 4)
        const tokens = manyTokens(330)
        const expected = await oracle(model, tokens)
        const session = (await loadSpan(model)).openSession({ maxLength: 400 })
        expectClose(await forwardInParts(session, inputOf(expected), [1, 200, 1, 127, 1]), lastOf(expected.hidden))
        expect(session.length).toBe(330)
      })
    })

    describe('a session', () => {
      it('gives the same for prefill at once, token by token, and in a mix', async () => {
        const model = randomModel(tinyConfig(), 5)
        const expected = await oracle(model, someTokens)
        const runner = await loadSpan(model)
        for (const parts of [[9], [1, 1, 1, 1, 1, 1, 1, 1, 1], [4, 1, 1, 3]]) {
          const output = await forwardInParts(runner.openSession({ maxLength: 9 }), inputOf(expected), parts)
          expectClose(output, lastOf(expected.hidden))
        }
      })

      it('over a sub-span runs those blocks only, and sub-spans one after the other make the span', async () => {
        const model = randomModel(tinyConfig({ blockCount: 4 }), 6)
        const expected = await oracle(model, someTokens)
        const runner = await loadSpan(model, { start: 1, end: 4 })
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
        for (const [i, output] of outputs.entries()) expectClose(output, lastOf(expected[i]?.hidden ?? []))
      })

      it('reads a view into a larger buffer, and leaves its input alone', async () => {
        const model = randomModel(tinyConfig(), 8)
        const expected = await oracle(model, someTokens)
        const input = inputOf(expected)
        const larger = new Float32Array(input.length + 7)
        larger.set(input, 3)
        const session = (await loadSpan(model)).openSession({ maxLength: 9 })
        expectClose(await session.forward(larger.subarray(3, 3 + input.length)), lastOf(expected.hidden))
        expect(larger.subarray(3, 3 + input.length)).toEqual(input)
      })

      it('after truncate goes on as if the forgotten positions never were', async () => {
        const model = randomModel(tinyConfig(), 9)
        const expected = await oracle(model, someTokens)
        const input = inputOf(expected)
        const session = (await loadSpan(model)).openSession({ maxLength: 9 })
        await session.forward(input.subarray(0, 4 * 32))
        await session.forward(new Float32Array(5 * 32).fill(Number.NaN))
        session.truncate(4)
        expect(session.length).toBe(4)
        const rest = await forwardInParts(session, input.subarray(4 * 32), [1, 1, 3])
        expectClose(rest, lastOf(expected.hidden).subarray(4 * 32))
        expect(() => session.truncate(10)).toThrow(RangeError)
        expect(() => session.truncate(-1)).toThrow(RangeError)
        expect(() => session.truncate(1.5)).toThrow(RangeError)
      })

      it('refuses positions past maxLength and stays as it was', async () => {
        const model = randomModel(tinyConfig(), 10)
        const expected = await oracle(model, someTokens)
        const input = inputOf(expected)
        const session = (await loadSpan(model)).openSession({ maxLength: 9 })
        await session.forward(input.subarray(0, 5 * 32))
        await expect(session.forward(new Float32Array(5 * 32))).rejects.toThrow(ContextTooLongError)
        expect(session.length).toBe(5)
        expectClose(await session.forward(input.subarray(5 * 32)), lastOf(expected.hidden).subarray(5 * 32))
      })

      it('refuses what is not whole rows', async () => {
        const session = (await loadSpan(randomModel(tinyConfig(), 11))).openSession({ maxLength: 9 })
        await expect(session.forward(new Float32Array(33))).rejects.toThrow(RangeError)
        await expect(session.forward(new Float32Array(0))).rejects.toThrow(RangeError)
        expect(session.length).toBe(0)
      })

      it('stops at an abort between blocks and stays as it was', async () => {
        const model = randomModel(tinyConfig({ blockCount: 6 }), 12)
        const expected = await oracle(model, someTokens)
        const input = inputOf(expected)
        const session = (await loadSpan(model)).openSession({ maxLength: 9 })
        await session.forward(input.subarray(0, 2 * 32))
        const controller = new AbortController()
        const call = session.forward(new Float32Array(4 * 32).fill(1), { signal: controller.signal })
        setImmediate(() => controller.abort())
        await expect(call).rejects.toMatchObject({ name: 'AbortError' })
        expect(session.length).toBe(2)
        await expect(session.forward(input, { signal: AbortSignal.abort() })).rejects.toThrow()
        expectClose(await session.forward(input.subarray(2 * 32)), lastOf(expected.hidden).subarray(2 * 32))
      })

      it('refuses calls that overlap, and the first of them is not disturbed', async () => {
        const model = randomModel(tinyConfig(), 13)
        const expected = await oracle(model, someTokens)
        const session = (await loadSpan(model)).openSession({ maxLength: 20 })
        const first = session.forward(inputOf(expected))
        await expect(session.forward(inputOf(expected))).rejects.toThrow('overlap')
        expect(() => session.truncate(0)).toThrow('overlap')
        expectClose(await first, lastOf(expected.hidden))
        expect(session.length).toBe(9)
      })

      it('throws once disposed, also in the middle of a call, and may be disposed again', async () => {
        const session = (await loadSpan(randomModel(tinyConfig(), 14))).openSession({ maxLength: 9 })
        const call = session.forward(new Float32Array(32))
        session.dispose()
        session.dispose()
        await expect(call).rejects.toThrow('disposed')
        await expect(session.forward(new Float32Array(32))).rejects.toThrow('disposed')
        expect(() => session.truncate(0)).toThrow('disposed')
        expect(session.cacheBytes).toBe(0)
      })
    })

    describe('a runner', () => {
      it('opens sessions within its span and the context only', async () => {
        const runner = await loadSpan(randomModel(tinyConfig(), 15), { start: 1, end: 3 })
        expect(runner.span).toEqual({ start: 1, end: 3 })
        expect(() => runner.openSession({ maxLength: 9, span: { start: 0, end: 2 } })).toThrow(RangeError)
        expect(() => runner.openSession({ maxLength: 0 })).toThrow(RangeError)
        expect(() => runner.openSession({ maxLength: 601 })).toThrow(ContextTooLongError)
        expect(runner.openSession({ maxLength: 600 }).span).toEqual({ start: 1, end: 3 })
      })

      it('ends its sessions when disposed, also those in the middle of a call, and may be disposed again', async () => {
        const runner = await loadSpan(randomModel(tinyConfig(), 16))
        const [busy, idle] = [runner.openSession({ maxLength: 9 }), runner.openSession({ maxLength: 9 })]
        const call = busy.forward(new Float32Array(32))
        const [outcome] = await Promise.allSettled([call, runner.dispose(), runner.dispose()])
        expect(outcome).toMatchObject({ status: 'rejected', reason: { message: expect.stringContaining('disposed') } })
        await expect(idle.forward(new Float32Array(32))).rejects.toThrow('disposed')
        expect(() => runner.openSession({ maxLength: 9 })).toThrow('disposed')
      })

      it('tells what it holds', async () => {
        const config = tinyConfig({ blockCount: 4, hiddenSize: 64, intermediateSize: 128 })
        const model = randomModel(config, 17)
        const runner = await loadSpan(model, { start: 1, end: 3 })
        const blockBytes = 4 * (2 * 64 + 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
        expect(runner.weightBytes).toBeGreaterThanOrEqual(2 * blockBytes)
        expect(runner.weightBytes).toBeLessThan(3 * blockBytes)

        const session = runner.openSession({ maxLength: 600 })
        expect(session.maxLength).toBe(600)
        const bytesFor = (positions: number) => 2 * 2 * positions * 32 * 4 // blocks, keys and values, kv width, float32
        await session.forward(new Float32Array(10 * 64))
        const small = session.cacheBytes
        expect(small).toBeGreaterThanOrEqual(bytesFor(10))
        expect(small).toBeLessThan(bytesFor(600)) // what is not used is not held
        await session.forward(new Float32Array(590 * 64))
        expect(session.cacheBytes).toBeGreaterThanOrEqual(bytesFor(600))
        expect(session.cacheBytes).toBeLessThanOrEqual(4 * bytesFor(600))
        session.truncate(3)
        expect(session.cacheBytes).toBeLessThanOrEqual(4 * bytesFor(600))
      })

      it('does not grow memory over two hundred sessions and twenty loads', async () => {
        // 7 MB of weights a load and up to 0.8 MB of cache a session: a leak of either would be 140 MB or more.
        const config = tinyConfig({ hiddenSize: 256, intermediateSize: 512, headSize: 64 })
        const model = randomModel(config, 18)
        const useOnce = async (runner: SpanRunner) => {
          const session = runner.openSession({ maxLength: 600 })
          await session.forward(new Float32Array(256))
          session.dispose()
        }
        const cycle = async (sessions: number) => {
          const runner = await create().loadSpan(model, wholeSpan(model), { threads: 1 })
          for (let i = 0; i < sessions; i++) await useOnce(runner)
          await runner.dispose()
        }
        await cycle(10)
        const before = await memoryAfterCollection()
        for (let load = 0; load < 20; load++) await cycle(10)
        const after = await memoryAfterCollection()
        expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(5e6)
        expect(after.rss - before.rss).toBeLessThan(70e6)
      })
    })

    describe('loading', () => {
      it('reads the tensors of the asked blocks once, and no others', async () => {
        const model = randomModel(tinyConfig({ blockCount: 4 }), 19)
        await loadSpan(model, { start: 1, end: 3 })
        const names = [1, 2].flatMap((index) => Object.values(tensorNames.block(index)))
        expect(model.reads.toSorted()).toEqual(names.toSorted())
      })

      it('reads embedding, final norm and head for the ends, and the head only when it is not tied', async () => {
        const { embedding, finalNorm, head } = tensorNames
        const readsOf = async (tiedHead: boolean) => {
          const model = randomModel(tinyConfig({ tiedHead }), 20)
          await loadEnds(model)
          return model.reads.toSorted()
        }
        expect(await readsOf(false)).toEqual([embedding, finalNorm, head].toSorted())
        expect(await readsOf(true)).toEqual([embedding, finalNorm].toSorted())
      })

      it('reports progress block by block', async () => {
        const model = randomModel(tinyConfig(), 21)
        const progress: unknown[] = []
        const onProgress = (step: unknown) => progress.push(step)
        loaded.push(await create().loadSpan(model, { start: 1, end: 3 }, { threads: 1, onProgress }))
        expect(progress).toEqual([
          { blocksLoaded: 1, blocksTotal: 2 },
          { blocksLoaded: 2, blocksTotal: 2 },
        ])
      })

      it('stops at an abort', async () => {
        const model = randomModel(tinyConfig(), 22)
        const controller = new AbortController()
        const onProgress = () => controller.abort()
        const options = { threads: 1, signal: controller.signal, onProgress }
        await expect(create().loadSpan(model, wholeSpan(model), options)).rejects.toMatchObject({ name: 'AbortError' })
        expect(model.reads.length).toBe(Object.keys(tensorNames.block(0)).length)
        await expect(create().loadEnds(model, options)).rejects.toMatchObject({ name: 'AbortError' })
      })

      it('refuses blocks the model does not have, and fewer than one thread', async () => {
        const model = randomModel(tinyConfig(), 23)
        await expect(create().loadSpan(model, { start: 2, end: 4 }, { threads: 1 })).rejects.toThrow(RangeError)
        await expect(create().loadSpan(model, wholeSpan(model), { threads: 0 })).rejects.toThrow(RangeError)
        expect(model.reads).toEqual([])
      })

      it('refuses a tensor of another shape than the configuration asks for', async () => {
        const model = randomModel(tinyConfig(), 24)
        const lying = withConfig(model, tinyConfig({ intermediateSize: 64 }))
        await expect(create().loadSpan(lying, wholeSpan(model), { threads: 1 })).rejects.toThrow(ModelFormatError)
      })
    })

    describe('the ends', () => {
      it('refuse ids outside the vocabulary', async () => {
        const ends = await loadEnds(randomModel(tinyConfig(), 25))
        for (const id of [-1, 40, 0.5, Number.NaN]) expect(() => ends.embed([1, id])).toThrow(RangeError)
        expect(ends.embed([]).length).toBe(0)
      })

      it('tell what they hold', async () => {
        const matrixBytes = 40 * 32 * 4
        for (const tiedHead of [true, false]) {
          const ends = await loadEnds(randomModel(tinyConfig({ tiedHead }), 26))
          expect(ends.weightBytes).toBeGreaterThanOrEqual(matrixBytes)
          expect(ends.weightBytes).toBeLessThan(3 * matrixBytes)
        }
      })

      it('stop at an abort, throw once disposed, and may be disposed again', async () => {
        const ends = await loadEnds(randomModel(tinyConfig(), 27))
        const hidden = ends.embed([1])
        await expect(ends.logits(hidden, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
        const call = ends.logits(hidden)
        await ends.dispose()
        await ends.dispose()
        expect((await call).length).toBe(40)
        await expect(ends.logits(hidden)).rejects.toThrow('disposed')
        expect(() => ends.embed([1])).toThrow('disposed')
      })

      it('refuse what is not whole rows', async () => {
        const ends = await loadEnds(randomModel(tinyConfig(), 28))
        await expect(ends.logits(new Float32Array(33))).rejects.toThrow(RangeError)
      })
    })

    it('names its numerics class', () => {
      const { backend, kernelVersion } = create().numericsClass
      expect([backend, kernelVersion].every((word) => word.length > 0)).toBe(true)
    })
  })
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

const someTokens = [3, 17, 39, 0, 5, 5, 21, 8, 30]

function manyTokens(count: number): number[] {
  const random = createRandom(99)
  return Array.from({ length: count }, () => Math.floor((random() + 1) * 20))
}

function wholeSpan(model: ModelHandle): Span {
  return { start: 0, end: model.manifest.config.blockCount }
}

function withConfig(model: RandomModel, config: ModelConfig): ModelHandle {
  return { ...model, manifest: { ...model.manifest, config } }
}

/** What the first block is given. */
function inputOf(activations: ModelActivations | undefined): Float32Array<ArrayBuffer> {
  return Float32Array.from(activations?.hidden[0] ?? [])
}

function lastOf(hidden: readonly Float64Array[]): Float64Array {
  return hidden.at(-1) ?? new Float64Array()
}

/** Runs `hidden` in calls of so many tokens each; the outputs joined. */
async function forwardInParts(
  session: ReturnType<SpanRunner['openSession']>,
  hidden: Float32Array,
  tokensEach: readonly number[],
): Promise<Float32Array<ArrayBuffer>> {
  const rowLength = hidden.length / tokensEach.reduce((sum, tokens) => sum + tokens, 0)
  const output = new Float32Array(hidden.length)
  let start = 0
  for (const tokens of tokensEach) {
    const end = start + tokens * rowLength
    output.set(await session.forward(hidden.subarray(start, end)), start)
    start = end
  }
  return output
}
