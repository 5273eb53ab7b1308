import { describe, expect, test } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { createBlockEngine } from '#engines/blocks/block-engine.ts'
import { rowsPerPiece } from '#engines/blocks/span-runner.ts'
import type { BlockProduct } from '#engines/shared/linear-backend.ts'
import { normals, relativeError } from '#test/engines/kernels/memory.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { createPlainBackend } from './plain-backend.ts'

const config = tinyConfig({ blockCount: 2 })
const model = randomModel(config, 1)
const rows = (count: number, seed: number) => normals(count * config.hiddenSize, seed)

async function load(onProduct?: (product: BlockProduct, rows: number) => void | Promise<void>) {
  const engine = createBlockEngine(createPlainBackend(onProduct ? { onProduct } : {}))
  return await engine.loadSpan(model, { start: 0, end: 2 }, { threads: 1 })
}

describe('a batch', () => {
  test('runs in pieces of at most so many rows, short steps of many sessions together', async () => {
    const pieces: number[] = []
    const runner = await load((product, count) => {
      if (product === 'queryKeyValue') pieces.push(count)
    })
    const steps = [1, 300, 5].map((count, i) => ({
      session: runner.openSession({ maxLength: 400 }),
      hidden: rows(count, i + 1),
    }))
    await runner.forward(steps)
    // Two blocks a piece.
    expect(pieces).toEqual([128, 128, 128, 128, 50, 50])
    expect(rowsPerPiece).toBe(128)
    expect(steps.map(({ session }) => session.length)).toEqual([1, 300, 5])
    await runner.dispose()
  })

  test('gives each session what it gets alone, wherever the pieces are cut', async () => {
    const runner = await load()
    const counts = [127, 2, 129, 1]
    const steps = counts.map((count, i) => ({
      session: runner.openSession({ maxLength: 200 }),
      hidden: rows(count, i + 1),
    }))
    const together = await runner.forward(steps)
    for (const [i, output] of together.entries()) {
      const alone = runner.openSession({ maxLength: 200 })
      expect(relativeError(output, await alone.forward(steps[i]?.hidden ?? rows(1, 1)))).toBeLessThan(1e-5)
    }
    await runner.dispose()
  })

  test('of nothing is nothing', async () => {
    const runner = await load()
    expect(await runner.forward([])).toEqual([])
    await runner.dispose()
  })
})

describe('a session that is dropped while it computes', () => {
  /** Stops at the first product `name` until told to go on. */
  function gate(name: BlockProduct) {
    const reached = Promise.withResolvers<void>()
    const open = Promise.withResolvers<void>()
    let seen = false
    return {
      reached: reached.promise,
      open: open.resolve,
      async onProduct(product: BlockProduct) {
        if (product !== name || seen) return
        seen = true
        reached.resolve()
        await open.promise
      },
    }
  }

  const queries = tensorNames.block(0).query
  const patch = {
    deltas: [
      {
        tensor: queries,
        indices: Uint32Array.from({ length: 500 }, (_, i) => 4 * i),
        values: new Float32Array(500).fill(0.1),
      },
    ],
    scales: [],
  }

  test('fails as misuse, and its neighbours in the next call are computed as ever', async () => {
    const { reached, open, onProduct } = gate('queryKeyValue')
    const runner = await load(onProduct)
    const session = runner.openSession({ maxLength: 10 })
    const forward = session.forward(rows(3, 1))
    await reached
    session.dispose()
    expect(session.cacheBytes).toBe(0)
    open()
    await expect(forward).rejects.toMatchObject({ name: 'EngineMisuseError' })
    const fresh = await (await load()).openSession({ maxLength: 10 }).forward(rows(3, 2))
    expect(await runner.openSession({ maxLength: 10 }).forward(rows(3, 2))).toEqual(fresh)
    await runner.dispose()
  })

  test('keeps its patch’s memory to the end of the call: nobody else’s numbers are read as the patch’s', async () => {
    const { reached, open, onProduct } = gate('queryKeyValue')
    const runner = await load(onProduct)
    const loaded = await runner.loadPatch(patch)
    const session = runner.openSession({ maxLength: 10, patches: [loaded] })
    const other = runner.openSession({ maxLength: 10 })
    const hidden = rows(2, 5)
    // A step of both: what is written for one must not go astray into the other's.
    const steps = [
      { session, hidden: rows(2, 4) },
      { session: other, hidden },
    ]
    const forward = runner.forward(steps)
    await reached
    const expected = await (await load()).openSession({ maxLength: 10 }).forward(hidden)
    session.dispose()
    loaded.dispose()
    open()
    await expect(forward).rejects.toMatchObject({ name: 'EngineMisuseError' })
    expect(relativeError(await other.forward(hidden), expected)).toBeLessThan(1e-5)
    await runner.dispose()
  })
})

describe('blocks whose file holds what is no number', () => {
  test.each(['attentionNorm', 'query'] as const)('are not loaded: %s is named', async (role) => {
    const name = tensorNames.block(1)[role]
    const broken: ModelHandle = {
      ...model,
      async readTensor(wanted, options) {
        const tensor = await model.readTensor(wanted, options)
        if (wanted !== name) return tensor
        const bytes = tensor.bytes.slice()
        new DataView(bytes.buffer).setFloat32(4 * 9, Number.NaN, true)
        return { ...tensor, bytes }
      },
    }
    const engine = createBlockEngine(createPlainBackend())
    await expect(engine.loadSpan(broken, { start: 0, end: 2 }, { threads: 1 })).rejects.toMatchObject({
      name: 'ModelFormatError',
      params: { where: name, what: 'element 9 is NaN' },
    })
  })
})
