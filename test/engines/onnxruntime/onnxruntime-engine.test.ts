import { expect, test } from 'vitest'
import { createOnnxRuntimeEngine } from '#engines/onnxruntime/onnxruntime-engine.ts'
import { describeEngine } from '#test/compliance/engine.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'

describeEngine('the onnxruntime engine', createOnnxRuntimeEngine, { tolerance: 1e-5 })

/** A step that gave its whole cache to JavaScript would make it collect garbage every few dozen tokens. */
test('a step leaves behind as little with a long cache as with a short one', async () => {
  const config = tinyConfig({ contextLength: 4096 })
  const runner = await createOnnxRuntimeEngine().loadSpan(randomModel(config, 1), { start: 0, end: 1 }, { threads: 1 })
  const session = runner.openSession({ maxLength: 4096 })
  await session.forward(new Float32Array(3000 * config.hiddenSize).fill(0.1))
  const step = new Float32Array(config.hiddenSize).fill(0.1)
  await session.forward(step)
  const before = process.memoryUsage().arrayBuffers
  for (let steps = 0; steps < 20; steps++) await session.forward(step)
  expect((process.memoryUsage().arrayBuffers - before) / 20).toBeLessThan(session.cacheBytes / 16)
  await runner.dispose()
})
