/**
 * Real models against float64 numbers of an independent implementation: `core/numerics` itself, and every engine.
 * Tolerances are relative as `relativeError` has it: largest difference over largest value of the vector.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createModelStore } from '#adapters/models/store.ts'
import { spanLength } from '#contracts/span.ts'
import { negativeLogLikelihood } from '#core/numerics/softmax.ts'
import type { Engine, ModelEnds, SpanRunner } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { createOnnxRuntimeEngine } from '#engines/onnxruntime/onnxruntime-engine.ts'
import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { oracle } from '#test/compliance/engine.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'
import { hasShared, sharedPath } from '#test/helpers/shared.ts'

const tolerance = 1e-4

interface ForwardCase {
  readonly tokens: readonly number[]
  readonly nll_sum: number
  readonly last_logits: readonly number[]
  /** After 0, 1, … all blocks, at the last position; stories260K only. */
  readonly hidden_last?: readonly (readonly number[])[]
}
interface Greedy {
  readonly prompt_tokens: readonly number[]
  readonly completion_tokens: readonly number[]
}

const engines: Record<string, () => Engine> = {
  'the reference engine': createReferenceEngine,
  'the onnxruntime engine': createOnnxRuntimeEngine,
}

describe.skipIf(!hasShared('conformance'))('conformance with float64 numbers', () => {
  let directory: string
  let stories: ModelHandle
  let seedling: ModelHandle
  let storiesCases: readonly ForwardCase[]
  let seedlingCases: { readonly cases: readonly ForwardCase[]; readonly greedy: readonly Greedy[] }

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'quiltbee-conformance-'))
    const store = createModelStore({ directory })
    const open = async (path: string) => store.open((await store.import(sharedPath(path))).digest)
    stories = await open('models/stories260K')
    seedling = await open('models/seedling')
    storiesCases = await readJson('conformance/stories260K/forward.json')
    seedlingCases = await readJson('conformance/seedling.json')
  })
  afterAll(async () => {
    await Promise.all([stories?.close(), seedling?.close()])
    await rm(directory, { recursive: true, force: true })
  })

  describe('core/numerics', () => {
    it('has the logits, losses and hidden states of stories260K', async () => {
      for (const expected of storiesCases) {
        const { hidden, logits } = await oracle(stories, expected.tokens)
        expectCase(expected, logits)
        for (const [blocks, row] of (expected.hidden_last ?? []).entries()) {
          expect(relativeError(hidden[blocks]?.slice(-row.length) ?? [], row)).toBeLessThan(tolerance)
        }
      }
    })

    it('has the logits and losses of the seedling', async () => {
      for (const expected of seedlingCases.cases) {
        expectCase(expected, (await oracle(seedling, expected.tokens)).logits)
      }
    })
  })

  for (const [name, create] of Object.entries(engines)) {
    describe(name, () => {
      it('has the logits, losses and hidden states after every block of stories260K', async () => {
        await withModel(create(), stories, async (runner, ends) => {
          for (const expected of storiesCases) {
            const states = await statesAfterBlocks(runner, ends.embed(expected.tokens))
            expectCase(expected, await ends.logits(states.at(-1) as Float32Array))
            for (const [blocks, row] of (expected.hidden_last ?? []).entries()) {
              expect(relativeError(states[blocks]?.slice(-row.length) ?? [], row)).toBeLessThan(tolerance)
            }
          }
        })
      })

      it('has the logits and losses of the seedling', async () => {
        await withModel(create(), seedling, async (runner, ends) => {
          for (const expected of seedlingCases.cases) {
            const session = runner.openSession({ maxLength: expected.tokens.length })
            expectCase(expected, await ends.logits(await session.forward(ends.embed(expected.tokens))))
            session.dispose()
          }
        })
      })

      it('continues greedily with the same tokens', async () => {
        await withModel(create(), seedling, async (runner, ends) => {
          for (const { prompt_tokens, completion_tokens } of seedlingCases.greedy) {
            expect(await continueGreedily(runner, ends, prompt_tokens, completion_tokens.length)).toEqual(
              completion_tokens,
            )
          }
        })
      })
    })
  }
})

function expectCase(expected: ForwardCase, logits: Float32Array | Float64Array): void {
  const { tokens, nll_sum, last_logits } = expected
  const vocabularySize = last_logits.length
  expect(relativeError(logits.subarray(-vocabularySize), last_logits)).toBeLessThan(tolerance)
  const nll = negativeLogLikelihood(logits.subarray(0, -vocabularySize), tokens.slice(1))
  expect(Math.abs(nll - nll_sum) / nll_sum).toBeLessThan(tolerance)
}

/** The hidden states before and after every block, each block in a session of its own. */
async function statesAfterBlocks(runner: SpanRunner, embedded: Float32Array): Promise<Float32Array[]> {
  const states = [embedded]
  for (let start = 0; start < spanLength(runner.span); start++) {
    const session = runner.openSession({ maxLength: 512, span: { start, end: start + 1 } })
    states.push(await session.forward(states[start] as Float32Array))
    session.dispose()
  }
  return states
}

async function continueGreedily(runner: SpanRunner, ends: ModelEnds, prompt: readonly number[], count: number) {
  const session = runner.openSession({ maxLength: prompt.length + count })
  const completion: number[] = []
  let next = prompt
  while (completion.length < count) {
    const hidden = await session.forward(ends.embed(next))
    const logits = await ends.logits(hidden.subarray(-hidden.length / next.length))
    next = [logits.indexOf(Math.max(...logits))]
    completion.push(...next)
  }
  session.dispose()
  return completion
}

async function withModel(
  engine: Engine,
  model: ModelHandle,
  use: (runner: SpanRunner, ends: ModelEnds) => Promise<void>,
): Promise<void> {
  const span = { start: 0, end: model.manifest.config.blockCount }
  const runner = await engine.loadSpan(model, span, { threads: 1 })
  const ends = await engine.loadEnds(model, { threads: 1 })
  await use(runner, ends)
  await Promise.all([runner.dispose(), ends.dispose()])
}

async function readJson<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(sharedPath(path), 'utf8')) as T
}
