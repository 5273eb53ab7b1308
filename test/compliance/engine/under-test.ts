/** What the themes of the engine suite share: the engine, loading with its freeing, and how close is close. */
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import type { Span } from '#contracts/span.ts'
import type { Engine, ModelEnds, SpanRunner, WeightFormat } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { relativeError } from '#test/core/numerics/relative-error.ts'
import type { FloatTensor } from './oracle.ts'

/** An engine that holds something of its own, a process perhaps, can be disposed. */
export type DisposableEngine = Engine & { readonly dispose?: () => void | Promise<void> }

export interface Tolerances {
  /** Relative, as `relativeError` has it. */
  readonly tolerance: number
  /** Of gradients; as `tolerance` when left out. */
  readonly gradientTolerance?: number
}

/** For float32 weights, and for each other format that the engine has. */
export interface EngineSuiteOptions extends Tolerances {
  readonly formats?: Readonly<Partial<Record<WeightFormat, Tolerances>>>
  /**
   * What the weights become in a format: the oracle computes with these. A tied head is asked for under the head's name,
   * as the product with the head sees it, and again under the embedding's, as the gather of rows does.
   */
  readonly roundWeights?: (format: WeightFormat, tensor: FloatTensor) => Float32Array
}

export interface LoadWishes {
  readonly span?: Span
  readonly format?: WeightFormat
  readonly threads?: number
}

export interface EngineUnderTest {
  readonly options: EngineSuiteOptions
  engine(): Engine
  /** Freed when the test ends. */
  loadSpan(model: ModelHandle, wishes?: LoadWishes): Promise<SpanRunner>
  loadEnds(model: ModelHandle, wishes?: Omit<LoadWishes, 'span'>): Promise<ModelEnds>
  expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance?: number): void
  expectGradient(actual: ArrayLike<number> | undefined, expected: ArrayLike<number>): void
}

/** One engine for a whole suite; to be called inside its `describe`. */
export function prepareEngine(
  create: () => DisposableEngine | Promise<DisposableEngine>,
  options: EngineSuiteOptions,
): EngineUnderTest {
  const { tolerance, gradientTolerance = tolerance } = options
  const loaded: (SpanRunner | ModelEnds)[] = []
  let engine: DisposableEngine | undefined

  beforeAll(async () => {
    engine = await create()
  })
  afterEach(async () => {
    await Promise.all(loaded.splice(0).map((part) => part.dispose()))
  })
  afterAll(async () => {
    await engine?.dispose?.()
  })

  function current(): Engine {
    if (engine === undefined) throw new Error('the engine is created before the first test')
    return engine
  }
  return {
    options,
    engine: current,
    async loadSpan(model, { span = wholeSpan(model), threads = 1, ...rest } = {}) {
      const runner = await current().loadSpan(model, span, { threads, ...rest })
      loaded.push(runner)
      return runner
    },
    async loadEnds(model, { threads = 1, ...rest } = {}) {
      const ends = await current().loadEnds(model, { threads, ...rest })
      loaded.push(ends)
      return ends
    },
    expectClose(actual, expected, within = tolerance) {
      expect(relativeError(actual, expected)).toBeLessThan(within)
    },
    expectGradient(actual, expected) {
      expect(relativeError(actual ?? [], expected)).toBeLessThan(gradientTolerance)
    },
  }
}

export function wholeSpan(model: ModelHandle): Span {
  return { start: 0, end: model.manifest.config.blockCount }
}

/** Errors may have crossed a process: they are known by name. */
export const misuse = { name: 'EngineMisuseError' } as const
export const mismatch = { name: 'PatchMismatchError' } as const
export const tooLong = { name: 'ContextTooLongError' } as const
export const outOfRange = { name: 'RangeError' } as const
