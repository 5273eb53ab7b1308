import { expect, it } from 'vitest'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { createRemoteEngine } from '#engines/worker/remote-engine.ts'
import { describeEngine } from '#test/compliance/engine.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { startTestWorkers, transports } from './workers.ts'

for (const [name, start] of Object.entries(transports)) {
  describeEngine(
    `the reference engine in ${name}`,
    async () => {
      const { engine, dispose } = await startTestWorkers(start)
      return { ...engine, dispose }
    },
    { tolerance: 1e-6 },
  )
}

it('the client of a worker neither reads weights nor holds any: what parts say of their bytes is all there is', async () => {
  const { client, publish, dispose } = await startTestWorkers(transports['a child process'])
  const model = randomModel(tinyConfig(), 1)
  await publish(model)
  const unreadable: ModelHandle = { ...model, readTensor: () => Promise.reject(new Error('read by the client')) }
  const engine = createRemoteEngine(client)
  const ends = await engine.loadEnds(unreadable, { threads: 1 })
  const runner = await engine.loadSpan(unreadable, { start: 0, end: 3 }, { threads: 1 })
  expect((await ends.embed([1, 2])).length).toBe(2 * 32)
  expect(await client.stats()).toMatchObject({ parts: 2, weightBytes: ends.weightBytes + runner.weightBytes })
  await dispose()
})
