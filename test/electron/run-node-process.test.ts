import { describe, expect, it } from 'vitest'
import { CodedError } from '#contracts/errors.ts'
import type { CreateNodeHost, NodeHostOptions } from '#electron/node-host.ts'
import { runNodeProcess } from '#electron/run-node-process.ts'
import { FakeMessageChannel, type FakeMessagePort, FakeParentPort, settled } from '#test/fakes/electron.ts'

const options: NodeHostOptions = { profile: 'default', resourcesDirectory: '/app/resources' }

function running(createNodeHost?: CreateNodeHost) {
  const parentPort = new FakeParentPort()
  const attached: unknown[] = []
  const created: NodeHostOptions[] = []
  const exits: number[] = []
  const log: string[] = []
  const create: CreateNodeHost = async (given) => {
    created.push(given)
    return { attach: (port) => attached.push(port), stop: async () => undefined }
  }
  runNodeProcess({
    parentPort,
    createNodeHost: createNodeHost ?? create,
    exit: (code) => exits.push(code),
    log: (line) => log.push(line),
  })
  return { parentPort, attached, created, exits, log }
}

function ports(count: number): FakeMessagePort[] {
  return Array.from({ length: count }, () => new FakeMessageChannel().port1)
}

describe("the node's process", () => {
  it('starts one node with the options it is given, and says when it is ready', async () => {
    const { parentPort, created } = running()
    parentPort.receive({ type: 'start', options })
    parentPort.receive({ type: 'start', options })
    await settled()
    expect(created).toEqual([options])
    expect(parentPort.sent).toEqual([{ type: 'ready' }])
  })

  it('attaches ports in the order they came, also those that came while it started', async () => {
    const { parentPort, attached } = running()
    const [first, second] = ports(2)
    parentPort.receive({ type: 'start', options })
    parentPort.receive({ type: 'connect' }, first && [first])
    await settled()
    parentPort.receive({ type: 'connect' }, second && [second])
    await settled()
    expect(attached).toEqual([first, second])
    first?.close()
    second?.close()
  })

  it('says why it cannot start, by code and parameters alone, and closes waiting ports', async () => {
    const { parentPort, log } = running(async () => {
      throw new CodedError('ledger-newer', 'written by version 9', { version: 9 })
    })
    const [port] = ports(1)
    parentPort.receive({ type: 'start', options })
    parentPort.receive({ type: 'connect' }, port && [port])
    await settled()
    expect(parentPort.sent).toEqual([{ type: 'failed', code: 'ledger-newer', params: { version: 9 } }])
    expect(port?.closed).toBe(true)
    expect(log[0]).toContain('written by version 9')
  })

  it('calls anything unforeseen internal', async () => {
    const { parentPort } = running(async () => {
      throw new TypeError('/home/owner/secret is undefined')
    })
    parentPort.receive({ type: 'start', options })
    await settled()
    expect(parentPort.sent).toEqual([{ type: 'failed', code: 'internal', params: {} }])
  })

  it('stops the node before it exits, and exits with 1 when that fails', async () => {
    const order: string[] = []
    const stopping = running(async () => ({
      attach: () => undefined,
      stop: async () => void order.push('stopped'),
    }))
    stopping.parentPort.receive({ type: 'start', options })
    stopping.parentPort.receive({ type: 'stop' })
    await settled()
    expect([order, stopping.exits]).toEqual([['stopped'], [0]])

    const failing = running(async () => ({
      attach: () => undefined,
      stop: () => Promise.reject(new Error('disk')),
    }))
    failing.parentPort.receive({ type: 'start', options })
    failing.parentPort.receive({ type: 'stop' })
    await settled()
    expect(failing.exits).toEqual([1])
  })

  it('exits at once when it is stopped before it was started', async () => {
    const { parentPort, exits } = running()
    parentPort.receive({ type: 'stop' })
    await settled()
    expect(exits).toEqual([0])
  })

  it.each([
    null,
    'start',
    { type: 'start' },
    { type: 'start', options: { ...options, profile: '../other' } },
    { type: 'start', options: { ...options, more: true } },
    { type: 'run', code: 'process.exit()' },
  ])('ignores %j, which is not in the protocol', async (message) => {
    const { parentPort, created, exits, log } = running()
    parentPort.receive(message)
    await settled()
    expect([created, exits, log.length]).toEqual([[], [], 1])
  })
})
