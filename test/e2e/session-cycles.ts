/**
 * A program for tests: opens and drops sessions through the product's compute worker, and prints as JSON what the worker
 * and this process hold after the first few hundred, when what runs often has been compiled, and after a thousand more.
 */
import { setImmediate } from 'node:timers/promises'
import { createDataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { assembleCompute, usualBackend } from '#assembly/compute.ts'
import { openModelStore } from '#assembly/model-store.ts'
import type { SpanRunner } from '#core/ports/engine.ts'
import { residentBytesOf, workersOf } from './worker-processes.ts'

const warmUp = 300
const measured = 1_000
const maxLength = 256

const directory = dataDirectory()
createDataDirectory(directory)
const quiet = { debug() {}, info() {}, warn() {}, error() {} }
await using compute = assembleCompute({ directory, logger: quiet })
const model = await openModelStore(directory).open('seedling')
const { blockCount, hiddenSize } = model.manifest.config
const engine = await compute.engine(usualBackend)
const runner = await engine.loadSpan(model, { start: 0, end: blockCount }, { threads: 1 })

for (let i = 0; i < warmUp; i++) await cycle(runner, i)
const before = await hold()
for (let i = 0; i < measured; i++) await cycle(runner, i)
const after = await hold()
await runner.dispose()
process.stdout.write(`${JSON.stringify({ before, after, left: await compute.residentBytes() })}\n`)

/** Create, append, roll back, fork, append to both, drop both. Lengths differ from cycle to cycle. */
async function cycle(blocks: SpanRunner, i: number): Promise<void> {
  const session = blocks.openSession({ maxLength })
  await session.forward(rows(17 + (i % 40)))
  session.truncate(session.length - (i % 13))
  const fork = session.fork(session.length - (i % 5))
  await blocks.forward([
    { session, hidden: rows(1 + (i % 3)) },
    { session: fork, hidden: rows(2) },
  ])
  fork.dispose()
  session.dispose()
}

function rows(count: number): Float32Array {
  return Float32Array.from({ length: count * hiddenSize }, (_, at) => Math.sin(at))
}

async function hold(): Promise<{ worker: number; node: number }> {
  // What a collection finds free is given back behind the program's back: the second one waits for that.
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.()
    await setImmediate()
  }
  const [worker = 0] = workersOf(process.pid)
  return { worker: residentBytesOf(worker), node: residentBytesOf(process.pid) }
}
