/** A process with a worker of its own, for tests that end the process: prints the worker's id once it is `idle`, `hangs` or is `suspended`. */

import { startChildProcess } from '#engines/worker/child-process.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { startSuspendable, startTestWorkers } from './workers.ts'
import { wrongs } from './wrongs.ts'

const start = process.argv[2] === 'suspended' ? startSuspendable : startChildProcess
const { client, engine, started } = await startTestWorkers(start, { entry: 'failing-worker.ts' })
const runner = await engine.loadSpan(randomModel(tinyConfig(), 1), { start: 0, end: 3 }, { threads: 1 })
const open = () => runner.openSession({ maxLength: 9 })
if (process.argv[2] === 'hangs') {
  void open().forward(new Float32Array(32).fill(wrongs.hangsAfterNext))
  await open().forward(new Float32Array(32)) // answered before it
}
if (process.argv[2] === 'suspended') client.suspend()
process.stdout.write(`${started[0]?.pid}\n`)
