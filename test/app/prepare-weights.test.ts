import { describe, expect, test, vi } from 'vitest'
import { prepareWeights } from '#app/prepare-weights.ts'
import type { Engine } from '#core/ports/engine.ts'
import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'

/** The reference engine, and how many parts of it are in memory. */
function counted() {
  const reference = createReferenceEngine()
  const memory = { now: 0, most: 0, loads: [] as string[] }
  function count<Part extends { dispose(): Promise<void> }>(what: string, part: Part): Part {
    memory.loads.push(what)
    memory.most = Math.max(memory.most, ++memory.now)
    const dispose = part.dispose.bind(part)
    return Object.assign(Object.create(part), {
      dispose: async () => {
        memory.now--
        await dispose()
      },
    })
  }
  const engine: Engine = {
    ...reference,
    loadSpan: async (...request) =>
      count(`${request[1].start}:${request[1].end}`, await reference.loadSpan(...request)),
    loadEnds: async (...request) => count('ends', await reference.loadEnds(...request)),
  }
  return { engine, memory }
}

describe('preparing the weights of a model', () => {
  test('loads every part once, one at a time, and keeps none', async () => {
    const { engine, memory } = counted()
    const bytes = await prepareWeights(engine, randomModel(tinyConfig(), 1), { threads: 1, format: 'float32' })
    expect(memory).toEqual({ now: 0, most: 1, loads: ['0:1', '1:2', '2:3', 'ends'] })
    expect(bytes).toBeGreaterThan(0)
  })

  test('tells how far it is, from nothing to all', async () => {
    const onProgress = vi.fn()
    const { engine } = counted()
    await prepareWeights(engine, randomModel(tinyConfig(), 1), { threads: 1, format: 'float32', onProgress })
    const told = onProgress.mock.calls.map(([{ bytesDone, bytesTotal }]) => bytesDone / bytesTotal)
    expect(told).toEqual(told.toSorted((a, b) => a - b))
    expect([told.at(0), told.at(-1)]).toEqual([0, 1])
  })

  test('stops between two parts', async () => {
    const { engine, memory } = counted()
    const stop = new AbortController()
    const preparing = prepareWeights(engine, randomModel(tinyConfig(), 1), {
      threads: 1,
      format: 'float32',
      signal: stop.signal,
      onProgress: ({ bytesDone }) => bytesDone > 0 && stop.abort(),
    })
    await expect(preparing).rejects.toThrow(/abort/i)
    expect(memory).toMatchObject({ now: 0, loads: ['0:1'] })
  })
})
