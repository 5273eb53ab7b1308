/** One backend in one format: load a block, check its products, and time them at three numbers of rows. */
import type { ModelConfig } from '#contracts/model/manifest.ts'
import type { Measurement } from '#core/calibration/calibration.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import { type ExpectedProducts, largestError, productShapes, sampleRows } from '../shared/check-products.ts'
import { type BlockProducts, blockProducts, type LinearBackend } from '../shared/linear-backend.ts'
import { createRandomBlock } from '../shared/random-block.ts'

export interface MeasureOneInit {
  readonly linear: LinearBackend
  readonly format: WeightFormat
  readonly config: ModelConfig
  readonly threads: number
  readonly expected: ExpectedProducts
  readonly timeMs: number
  readonly monotonicNow: () => number
  readonly signal: AbortSignal | undefined
}

/** Rows in one call: a token, a token of each of eight sessions, a piece of a prompt. */
const workloads = { decode: 1, batch: 8, prefill: 64 } as const

export async function measureOne(init: MeasureOneInit): Promise<Measurement['outcome']> {
  const { linear, format, config, threads, expected, signal, monotonicNow } = init
  const startedAt = monotonicNow()
  const model = createRandomBlock(config)
  const products = await linear.loadBlock(model, 0, { threads, format, ...(signal && { signal }) })
  try {
    const loadSeconds = (monotonicNow() - startedAt) / 1000
    const relativeError = await largestError(products, expected)
    if (!Number.isFinite(relativeError)) {
      return { kind: 'failed', reason: 'wrong-results', detail: 'its products are not numbers' }
    }
    const rate = (rows: number) => tokensPerSecond(products, rows, init)
    return {
      kind: 'measured',
      decodeTokensPerSecond: await rate(workloads.decode),
      decodeBatch8TokensPerSecond: await rate(workloads.batch),
      prefillTokensPerSecond: await rate(workloads.prefill),
      weightBytes: products.weightBytes,
      loadSeconds,
      relativeError,
      numericsClass: linear.numericsClass(format),
    }
  } finally {
    await products.dispose()
  }
}

const warmUpRuns = 2

/** The median of as many passes through the block as a third of the time allows; one at least, after one at least to warm up. */
async function tokensPerSecond(products: BlockProducts, rows: number, init: MeasureOneInit): Promise<number> {
  const { config, timeMs, monotonicNow, signal } = init
  const pass = createPass(products, rows, config)
  const endsAt = monotonicNow() + timeMs / Object.keys(workloads).length
  const times: number[] = []
  for (let warmUps = 0; times.length === 0 || monotonicNow() < endsAt; ) {
    signal?.throwIfAborted()
    const startedAt = monotonicNow()
    await pass()
    const now = monotonicNow()
    if (warmUps < 1 || (warmUps < warmUpRuns && now < endsAt)) warmUps++
    else times.push(now - startedAt)
    // Gives an abort, and whatever else waits, its turn.
    await new Promise((resolve) => setImmediate(resolve))
  }
  const median = times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0
  return (rows * 1000) / Math.max(median, shortestMs)
}

/** Below what clocks tell apart. */
const shortestMs = 1e-3

/** A block's products once, in the calls that a block makes. */
function createPass(products: BlockProducts, rows: number, config: ModelConfig): () => Promise<void> {
  const input = (columns: number) => sampleRows(rows, columns)
  const shapes = productShapes(config)
  const hidden = input(config.hiddenSize)
  const attended = input(shapes.output[1])
  const gain = new Float32Array(config.hiddenSize).fill(1)
  const inputs = blockProducts.map((product) => [product, input(shapes[product][1])] as const)
  const { finish } = products
  if (finish) {
    return async () => {
      await products.run('queryKeyValue', hidden)
      await finish.call(products, attended, hidden, gain)
    }
  }
  return async () => {
    for (const [product, x] of inputs) await products.run(product, x)
  }
}
