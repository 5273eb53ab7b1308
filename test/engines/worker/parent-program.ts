/** A process with a worker of its own, for tests that end the process: prints the worker's id once it is `idle` or `hangs`. */

import { startChildProcess } from '#engines/worker/child-process.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { startTestWorkers } from './workers.ts'
import { wrongs } from './wrongs.ts'

const { engine, started } = await startTestWorkers(startChildProcess, { entry: 'failing-worker.ts' })
const runner = await engine.loadSpan(randomModel(tinyConfig(), 1), { start: 0, end: 3 }, { threads: 1 })
const open = () => runner.openSession({ maxLength: 9 })
if (process.argv[2] === 'hangs') {
  void open().forward(new Float32Array(32).fill(wrongs.hangsAfterNext))
  await open().forward(new Float32Array(32)) // answered before it
}
process.stdout.write(`${started[0]?.pid}\n`)
