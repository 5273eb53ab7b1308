/**
 * Real models against float64 numbers of an independent implementation, for any engine. Tolerances are relative as
 * `relativeError` has it: largest difference over largest value of the vector.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createModelStore } from '#adapters/models/store.ts'
import { spanLength } from '#contracts/span.ts'
import { headBackward } from '#core/numerics/model-backward.ts'
import { negativeLogLikelihood } from '#core/numerics/softmax.ts'
import type { ModelEnds, ScaleTarget, SpanRunner } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'
import { hasShared, sharedPath } from '#test/helpers/shared.ts'
import { oracleWeights } from './engine/oracle.ts'
import { type DisposableEngine, wholeSpan } from './engine/under-test.ts'

const tolerance = 1e-4

export interface ForwardCase {
  readonly tokens: readonly number[]
  readonly nll_sum: number
  readonly last_logits: readonly number[]
  /** After 0, 1, … all blocks, at the last position; stories260K only. */
  readonly hidden_last?: readonly (readonly number[])[]
}
export interface SeedlingCases {
  readonly cases: readonly ForwardCase[]
  readonly greedy: readonly {
    readonly prompt_tokens: readonly number[]
    readonly completion_tokens: readonly number[]
  }[]
}
/** (IA)³ gradients of the summed loss at ones, by llama2.c's names of them: `layers.0.l_k`. */
export interface ScaleCase {
  readonly tokens: readonly number[]
  readonly grad_l2: Readonly<Record<string, number>>
  readonly grad_first5: Readonly<Record<string, readonly number[]>>
}
/** Gradients at the first three positions; none at the others. */
export interface SpanBackwardCase {
  readonly tokens: readonly number[]
  readonly blocks: readonly [number, number]
  readonly grad_out: readonly (readonly number[])[]
  readonly grad_in: readonly (readonly number[])[]
}

export const scaleNames: Readonly<Record<ScaleTarget, string>> = { key: 'l_k', value: 'l_v', feedForward: 'l_ff' }

export interface ConformanceModels {
  readonly stories: ModelHandle
  readonly seedling: ModelHandle
}

/** The two models, imported into a store of their own; to be called inside a `describe`. */
export function prepareConformanceModels(): () => ConformanceModels {
  let directory: string | undefined
  let models: ConformanceModels | undefined
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'quiltbee-conformance-'))
    const store = createModelStore({ directory })
    const open = async (path: string) => store.open((await store.import(sharedPath(path))).digest)
    models = { stories: await open('models/stories260K'), seedling: await open('models/seedling') }
  })
  afterAll(async () => {
    await Promise.all([models?.stories.close(), models?.seedling.close()])
    if (directory !== undefined) await rm(directory, { recursive: true, force: true })
  })
  return () => {
    if (models === undefined) throw new Error('the models are imported before the first test')
    return models
  }
}

/** `describe`, where the shared numbers are at hand. */
export function describeWithVectors(name: string, body: () => void): void {
  describe.skipIf(!hasShared('conformance'))(name, body)
}

export async function readVectors<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(sharedPath(`conformance/${path}`), 'utf8')) as T
}

export function describeEngineConformance(
  name: string,
  create: () => DisposableEngine | Promise<DisposableEngine>,
): void {
  describeWithVectors(`${name} against conformance vectors`, () => {
    const models = prepareConformanceModels()
    let engine: DisposableEngine
    beforeAll(async () => {
      engine = await create()
    })
    afterAll(async () => {
      await engine?.dispose?.()
    })

    async function withModel(model: ModelHandle, use: (runner: SpanRunner, ends: ModelEnds) => Promise<void>) {
      const runner = await engine.loadSpan(model, wholeSpan(model), { threads: 1 })
      const ends = await engine.loadEnds(model, { threads: 1 })
      await use(runner, ends)
      await Promise.all([runner.dispose(), ends.dispose()])
    }

    it('has the logits, losses and hidden states after every block of stories260K', async () => {
      const cases = await readVectors<readonly ForwardCase[]>('stories260K/forward.json')
      await withModel(models().stories, async (runner, ends) => {
        for (const expected of cases) {
          const states = await statesAfterBlocks(runner, await ends.embed(expected.tokens))
          expectCase(expected, await ends.logits(states.at(-1) as Float32Array))
          for (const [blocks, row] of (expected.hidden_last ?? []).entries()) {
            expect(relativeError(states[blocks]?.slice(-row.length) ?? [], row)).toBeLessThan(tolerance)
          }
        }
      })
    })

    it('has the logits and losses of the seedling', async () => {
      const { cases } = await readVectors<SeedlingCases>('seedling.json')
      await withModel(models().seedling, async (runner, ends) => {
        for (const expected of cases) {
          const session = runner.openSession({ maxLength: expected.tokens.length })
          expectCase(expected, await ends.logits(await session.forward(await ends.embed(expected.tokens))))
          session.dispose()
        }
      })
    })

    it('continues greedily with the same tokens', async () => {
      const { greedy } = await readVectors<SeedlingCases>('seedling.json')
      await withModel(models().seedling, async (runner, ends) => {
        for (const { prompt_tokens, completion_tokens } of greedy) {
          const completion = await continueGreedily(runner, ends, prompt_tokens, completion_tokens.length)
          expect(completion).toEqual(completion_tokens)
        }
      })
    })

    it('has the gradient at the input of a span of stories260K', async () => {
      const expected = await readVectors<SpanBackwardCase>('stories260K/span_backward.json')
      await withModel(models().stories, async (runner, ends) => {
        const span = { start: expected.blocks[0], end: expected.blocks[1] }
        const before = runner.openSession({ maxLength: 512, span: { start: 0, end: span.start } })
        const hidden = await before.forward(await ends.embed(expected.tokens))
        const outputGradient = new Float32Array(hidden.length)
        outputGradient.set(expected.grad_out.flat())
        const { inputGradient } = await runner.backward({ hidden, outputGradient, span })
        const rows = expected.grad_in.flat()
        expect(relativeError(inputGradient.subarray(0, rows.length), rows)).toBeLessThan(tolerance)
        expect(inputGradient.subarray(rows.length).every((value) => Math.abs(value) < 1e-12)).toBe(true)
      })
    })

    it('has the (IA)³ gradients of the loss of stories260K', async () => {
      const expected = await readVectors<ScaleCase>('stories260K/ia3.json')
      const { stories } = models()
      await withModel(stories, async (runner, ends) => {
        const embedded = await ends.embed(expected.tokens.slice(0, -1))
        const output = await runner.openSession({ maxLength: 512 }).forward(embedded)
        const weights = await oracleWeights(stories)
        const { input } = headBackward(output, expected.tokens.slice(1), weights, stories.manifest.config)
        const names = Object.keys(expected.grad_l2)
        const parameters = names.map(scaleParameter)
        const outputGradient = Float32Array.from(input)
        const { parameterGradients } = await runner.backward({ hidden: embedded, outputGradient, parameters })
        for (const [i, name] of names.entries()) expectScaleGradient(expected, name, parameterGradients[i] ?? [])
      })
    })
  })
}

/** `layers.0.l_k` -> the scale of block 0's keys */
function scaleParameter(name: string) {
  const [, block, short] = name.split('.')
  const target = (Object.keys(scaleNames) as ScaleTarget[]).find((each) => scaleNames[each] === short) ?? 'key'
  return { kind: 'scale', block: Number(block), target } as const
}

export function expectScaleGradient(expected: ScaleCase, name: string, gradient: ArrayLike<number>): void {
  const norm = Math.hypot(...Array.from(gradient))
  expect(Math.abs(norm / (expected.grad_l2[name] ?? 0) - 1)).toBeLessThan(tolerance)
  const first = expected.grad_first5[name] ?? []
  for (const [i, value] of first.entries()) {
    expect(Math.abs((gradient[i] ?? Number.NaN) - value)).toBeLessThan(tolerance * norm)
  }
}

export function expectCase(expected: ForwardCase, logits: Float32Array | Float64Array): void {
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
    const hidden = await session.forward(await ends.embed(next))
    const logits = await ends.logits(hidden.subarray(-hidden.length / next.length))
    next = [logits.indexOf(Math.max(...logits))]
    completion.push(...next)
  }
  session.dispose()
  return completion
}
