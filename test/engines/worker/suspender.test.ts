/** Workers that are held still, as processes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import type { Trainee } from '#core/ports/training-engine.ts'
import { createRestingTraining } from '#engines/worker/resting-training.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'
import { entryOf, startSuspendable, startTestWorkers, type TestWorkers } from './workers.ts'

const model = randomModel(tinyConfig(), 1)
const init = { parameters: [{ kind: 'tensor', name: tensorNames.finalNorm }], threads: 1 } as const
const batch = [{ tokens: [1, 2, 3] }]
const sgd = { kind: 'sgd', learningRate: 0.1 } as const

/** As Linux tells it: T for a stopped process, null for one that is gone. */
function stateOf(pid: number): string | null {
  try {
    const state = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '')[0] ?? null
    return state === 'Z' ? null : state
  } catch {
    return null
  }
}
const pidOf = ({ started }: TestWorkers) => started.at(-1)?.pid ?? 0

describe.skipIf(process.platform !== 'linux')('a worker that is held still', () => {
  let workers: TestWorkers
  let others: ChildProcess[] = []
  const tight = { intervalMs: 20, idleLooks: 10, busyLooks: 10 }

  async function load(): Promise<Trainee> {
    workers = await startTestWorkers(startSuspendable, { entry: 'training-worker.ts', watchLimits: tight })
    await workers.publish(model)
    const trainee = await workers.training?.loadTrainee(model, init)
    if (trainee === undefined) throw new Error('the worker does not train')
    return trainee
  }
  afterEach(async () => {
    await workers?.dispose()
    for (const other of others) other.kill('SIGKILL')
    others = []
  })

  it('goes on where it was, and is not taken for hung however long it took', async () => {
    const trainee = await load()
    workers.client.suspend()
    workers.client.suspend()
    await expect.poll(() => stateOf(pidOf(workers))).toBe('T')
    let isDone = false
    const step = trainee.step(batch, sgd).then(() => {
      isDone = true
    })
    await delay(1_000) // five times what an idle or busy worker may be silent
    expect([isDone, stateOf(pidOf(workers))]).toEqual([false, 'T'])
    workers.client.resume()
    await step
    expect(stateOf(pidOf(workers))).toMatch(/[RS]/)
    expect(workers.started).toHaveLength(1)
  })

  it('hears that a call is given up, and that a trainee is not needed any more', async () => {
    const trainee = await load()
    const stopping = new AbortController()
    workers.client.suspend()
    await expect.poll(() => stateOf(pidOf(workers))).toBe('T')
    const step = trainee.step(batch, sgd, { signal: stopping.signal }).catch((error: unknown) => error)
    stopping.abort(new Error('paused'))
    await step
    workers.client.suspend()
    await trainee.dispose()
    expect(workers.started).toHaveLength(1)
  })

  it('ends when its client is disposed of, and when it is killed', async () => {
    const first = await load()
    const pid = pidOf(workers)
    workers.client.suspend()
    const beganMs = performance.now()
    await workers.client.dispose()
    expect(stateOf(pid)).toBeNull()
    expect(performance.now() - beganMs).toBeLessThan(1_500) // by itself, not by the limit
    await first.dispose()
    const second = await load()
    workers.client.suspend()
    const step = second.step(batch, sgd)
    workers.started[0]?.kill()
    await expect(step).rejects.toThrow('SIGKILL')
    workers.client.resume() // there is nobody any more
  })

  it('is said to take the memory that it took', async () => {
    await load()
    const training = createRestingTraining({ start: async () => workers.client }, { backend: 'test', restAfterMs: 1e6 })
    await training.engine.loadTrainee(model, init)
    const before = await training.residentBytes()
    expect(before).toBeGreaterThan(10e6)
    const asked = training.residentBytes()
    training.suspend()
    await asked
    expect(await training.residentBytes()).toBeGreaterThan(10e6)
    training.resume()
    await training.dispose()
  })

  const surroundings = {
    'in the group of whoever started it, which lives on': { command: (node: string[]) => node, detached: false },
    'that has a session of its own, like a service': { command: (node: string[]) => node, detached: true },
    'that a script started, which lives on': {
      command: (node: string[]) => ['/bin/sh', '-c', '"$0" "$@" & echo $!; wait; exec sleep 60 2>&-', ...node],
      detached: true,
    },
  }
  for (const [name, { command, detached }] of Object.entries(surroundings)) {
    it(`ends soon after its parent is killed, a parent ${name}`, async () => {
      const node = [process.execPath, entryOf('parent-program.ts'), 'suspended']
      const [program = '', ...args] = command(node)
      const parent = spawn(program, args, { detached, stdio: ['ignore', 'pipe', 'inherit'] })
      others.push(parent)
      let printed = ''
      parent.stdout.setEncoding('utf8').on('data', (text: string) => {
        printed += text
      })
      const lines = program === '/bin/sh' ? 2 : 1
      await expect.poll(() => printed.split('\n').length - 1, { timeout: 10_000 }).toBe(lines)
      const ids = printed.trim().split('\n').map(Number)
      const worker = ids.at(-1) ?? 0
      await expect.poll(() => stateOf(worker)).toBe('T')
      process.kill(lines === 2 ? (ids[0] ?? 0) : (parent.pid ?? 0), 'SIGKILL')
      await expect.poll(() => stateOf(worker), { timeout: 8_000 }).toBeNull()
    })
  }

  it('goes on when what watches over it is killed, and is not held still again', async () => {
    await load()
    workers.client.suspend()
    const pid = pidOf(workers)
    await expect.poll(() => stateOf(pid)).toBe('T')
    const found = spawn('pgrep', ['-f', `kill -s CONT "\\$0" ${pid}$`], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [output] = (await once(found.stdout, 'data')) as [Buffer]
    process.kill(Number(output.toString()), 'SIGKILL')
    await expect.poll(() => stateOf(pid)).toMatch(/[RS]/)
    workers.client.resume()
    workers.client.suspend()
    await delay(50)
    expect(stateOf(pid)).toMatch(/[RS]/)
  })
})
