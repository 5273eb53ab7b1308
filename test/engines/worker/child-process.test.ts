import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { startChildProcess } from '#engines/worker/child-process.ts'
import { entryOf, startTestWorkers, type TestWorkers } from './workers.ts'

let workers: TestWorkers | undefined
afterEach(async () => {
  await workers?.dispose()
  workers = undefined
})

/** False also for a process that has ended and that nobody has asked after yet. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return process.platform !== 'linux' || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

async function endOf(pid: number, withinMs: number): Promise<'ended' | 'alive'> {
  const until = performance.now() + withinMs
  while (isAlive(pid) && performance.now() < until) await delay(20)
  return isAlive(pid) ? 'alive' : 'ended'
}

describe('a child process', () => {
  for (const state of ['idle', 'hangs']) {
    it(`that ${state === 'idle' ? 'waits' : 'hangs'} ends with its parent, also when that is killed`, async () => {
      const parent = spawn(process.execPath, [entryOf('parent-program.ts'), state], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const [printed] = (await once(parent.stdout, 'data')) as [Buffer]
      const pid = Number(printed.toString())
      expect(isAlive(pid)).toBe(true)
      parent.kill('SIGKILL')
      expect(await endOf(pid, 8_000)).toBe('ended')
    })
  }

  it.skipIf(process.platform === 'win32')('leaves signals to its parent', async () => {
    workers = await startTestWorkers(startChildProcess, { entry: 'failing-worker.ts' })
    const { client, started } = workers
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(started[0]?.pid ?? 0, signal)
    await client.stats()
    await client.stats()
    expect(started.length).toBe(1)
  })

  it('takes over no options of this process, so no debugger’s either', async () => {
    const before = process.env['NODE_OPTIONS']
    process.env['NODE_OPTIONS'] = '--no-such-option'
    try {
      workers = await startTestWorkers(startChildProcess)
    } finally {
      if (before === undefined) delete process.env['NODE_OPTIONS']
      else process.env['NODE_OPTIONS'] = before
    }
    expect(await workers.client.stats()).toMatchObject({ parts: 0 })
  })

  it('is gone when its client is disposed', async () => {
    workers = await startTestWorkers(startChildProcess)
    const pid = workers.started[0]?.pid ?? 0
    expect(isAlive(pid)).toBe(true)
    await workers.client.dispose()
    expect(isAlive(pid)).toBe(false)
  })
})
