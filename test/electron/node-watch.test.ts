import { implement } from '@orpc/server'
import { RPCHandler } from '@orpc/server/message-port'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { contract } from '#contracts/api/contract.ts'
import type { NodeStatus } from '#contracts/api/node.ts'
import { createNodeWatch } from '#electron/node-watch.ts'
import { FakeMessageChannel, type FakeMessagePort, FakeTimers } from '#test/fakes/electron.ts'
import { aStatus } from './node-status.ts'

const open: FakeMessagePort[] = []
afterEach(() => {
  for (const port of open.splice(0)) port.close()
})

/** A node that serves the real contract over real ports: its status stream says what `statuses` holds and stays open. */
function aNode(statuses: readonly NodeStatus[]) {
  const asked: unknown[] = []
  const api = implement(contract)
  const router = {
    connect: api.connect.handler(({ input }) => {
      asked.push(input)
      return { apiVersion: 1, version: '0.1.0', peerId: 'x' }
    }),
    node: {
      watch: api.node.watch.handler(async function* ({ signal }) {
        yield* statuses
        await new Promise((resolve) => signal?.addEventListener('abort', resolve))
      }),
      pause: api.node.pause.handler(({ input }) => {
        asked.push(input)
        return aStatus({ nodeName: 'paused' })
      }),
      resume: api.node.resume.handler(() => {
        asked.push('resume')
        return aStatus({ nodeName: 'resumed' })
      }),
    },
  }
  return { asked, handler: new RPCHandler(router) }
}

function watched(statuses: readonly NodeStatus[] = [aStatus()]) {
  const { asked, handler } = aNode(statuses)
  const timers = new FakeTimers()
  const seen: (string | null)[] = []
  const lines: string[] = []
  const served: FakeMessagePort[] = []
  const openPort = () => {
    const { port1, port2 } = new FakeMessageChannel()
    handler.upgrade(port1)
    port1.start()
    open.push(port1, port2)
    served.push(port1)
    return port2
  }
  const watch = createNodeWatch(
    { openPort, timers, log: (line) => lines.push(line) },
    { onStatus: (status) => seen.push(status?.nodeName ?? null) },
  )
  return { watch, asked, seen, lines, served, timers }
}

describe('watching the node', () => {
  it('connects with the version of the API and hears every status', async () => {
    const { watch, asked, seen } = watched([aStatus({ nodeName: 'one' }), aStatus({ nodeName: 'two' })])
    watch.setRunning(true)
    await vi.waitFor(() => expect(seen).toEqual(['one', 'two']))
    expect(asked).toEqual([{ apiVersion: 1 }])
  })

  it('knows no status once the node has ceased to run, and starts anew with the next', async () => {
    const { watch, seen, served, timers } = watched()
    watch.setRunning(true)
    await vi.waitFor(() => expect(seen).toEqual(['bee']))
    watch.setRunning(false)
    expect(seen).toEqual(['bee', null])
    await timers.advance(5_000)
    expect(served).toHaveLength(1)
    watch.setRunning(true)
    await vi.waitFor(() => expect(seen).toEqual(['bee', null, 'bee']))
    expect(served).toHaveLength(2)
  })

  it('tries again a second after the connection broke by itself', async () => {
    const { watch, seen, lines, served, timers } = watched()
    watch.setRunning(true)
    await vi.waitFor(() => expect(seen).toEqual(['bee']))
    served[0]?.close()
    await vi.waitFor(() => expect(seen).toEqual(['bee', null]))
    expect(lines).toHaveLength(1)
    await timers.advance(1_000)
    await vi.waitFor(() => expect(seen).toEqual(['bee', null, 'bee']))
  })

  it('does not try again when the node ceased to run in the meantime', async () => {
    const { watch, seen, served, timers } = watched()
    watch.setRunning(true)
    await vi.waitFor(() => expect(seen).toEqual(['bee']))
    served[0]?.close()
    await vi.waitFor(() => expect(seen).toEqual(['bee', null]))
    watch.setRunning(false)
    await timers.advance(5_000)
    expect(served).toHaveLength(1)
  })

  it('asks for pause and resume, and shows the answer at once', async () => {
    const { watch, asked, seen } = watched()
    watch.setRunning(true)
    await vi.waitFor(() => expect(seen).toEqual(['bee']))
    watch.pause(15)
    await vi.waitFor(() => expect(seen).toEqual(['bee', 'paused']))
    watch.resume()
    await vi.waitFor(() => expect(seen).toEqual(['bee', 'paused', 'resumed']))
    expect(asked).toEqual([{ apiVersion: 1 }, { minutes: 15 }, 'resume'])
  })

  it('logs a request that is refused, and asks nothing of a node that does not run', async () => {
    const { watch, asked, seen, lines } = watched()
    watch.pause(15)
    watch.setRunning(true)
    await vi.waitFor(() => expect(seen).toEqual(['bee']))
    watch.pause(0.5)
    await vi.waitFor(() => expect(lines).toHaveLength(1))
    expect(asked).toEqual([{ apiVersion: 1 }])
  })
})
