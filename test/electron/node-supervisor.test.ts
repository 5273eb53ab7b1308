import { describe, expect, it } from 'vitest'
import { createNodeSupervisor, type NodeState } from '#electron/node-supervisor.ts'
import { FakeElectron, FakeMessageChannel, FakeTimers } from '#test/fakes/electron.ts'

const options = { profile: 'default', resourcesDirectory: '/app/resources' }

function supervised() {
  const electron = new FakeElectron()
  const timers = new FakeTimers()
  const states: NodeState['kind'][] = []
  const killed: number[] = []
  const supervisor = createNodeSupervisor(
    {
      fork: () => electron.utilityProcess.fork('node-process.js', [], {}),
      timers,
      forceKill: (processId) => killed.push(processId),
      log: () => undefined,
    },
    { options, onState: (state) => states.push(state.kind) },
  )
  const child = (index = electron.children.length - 1) => {
    const found = electron.children[index]
    if (found === undefined) throw new Error('no child was started')
    return found
  }
  /** A child that became ready and then crashed. */
  const crash = () => {
    child().say({ type: 'ready' })
    child().exit(139)
  }
  return { electron, timers, states, killed, supervisor, child, crash, port: () => new FakeMessageChannel().port1 }
}

describe('the node supervisor', () => {
  it('starts the process with its options and runs when the node says it is ready', () => {
    const { supervisor, child, states } = supervised()
    supervisor.start()
    expect(child().received).toEqual([{ message: { type: 'start', options }, ports: [] }])
    child().say({ type: 'ready' })
    expect(states).toEqual(['starting', 'running'])
  })

  it('starts one process only, however often it is asked', () => {
    const { supervisor, electron } = supervised()
    supervisor.start()
    supervisor.start()
    expect(electron.children).toHaveLength(1)
  })

  it('starts again half a second after a first crash and a second after the next', async () => {
    const { supervisor, electron, timers, crash } = supervised()
    supervisor.start()
    crash()
    expect(supervisor.state()).toEqual({ kind: 'restarting', delayMs: 500, exitCode: 139 })
    await timers.advance(499)
    expect(electron.children).toHaveLength(1)
    await timers.advance(1)
    expect(electron.children).toHaveLength(2)
    crash()
    expect(supervisor.state()).toEqual({ kind: 'restarting', delayMs: 1000, exitCode: 139 })
    await timers.advance(1000)
    expect(electron.children).toHaveLength(3)
  })

  it('gives up after the third crash in a minute, until it is asked to start', async () => {
    const { supervisor, electron, timers, crash } = supervised()
    supervisor.start()
    for (let time = 0; time < 3; time++) {
      crash()
      await timers.advance(1000)
    }
    expect(supervisor.state()).toEqual({ kind: 'crashing', exitCode: 139 })
    await timers.advance(3_600_000)
    expect(electron.children).toHaveLength(3)
    supervisor.start()
    crash()
    expect(supervisor.state()).toMatchObject({ kind: 'restarting', delayMs: 500 })
  })

  it('never gives up on a node that crashes once a minute', async () => {
    const { supervisor, electron, timers, crash } = supervised()
    supervisor.start()
    for (let time = 0; time < 10; time++) {
      crash()
      await timers.advance(60_500)
    }
    expect(electron.children).toHaveLength(11)
  })

  it('counts a process that ends before the node is ready as a crash', () => {
    const { supervisor, child } = supervised()
    supervisor.start()
    child().exit(1)
    expect(supervisor.state().kind).toBe('restarting')
  })

  it('does not start a node again that says why it cannot start', async () => {
    const { supervisor, electron, timers, child } = supervised()
    supervisor.start()
    child().say({ type: 'failed', code: 'profile-locked', params: { profile: 'default' } })
    expect(supervisor.state()).toEqual({ kind: 'refused', code: 'profile-locked', params: { profile: 'default' } })
    expect(child().kills).toBe(1)
    child().exit(0)
    await timers.advance(60_000)
    expect(electron.children).toHaveLength(1)
    supervisor.start()
    expect(electron.children).toHaveLength(2)
    expect(supervisor.state().kind).toBe('starting')
  })

  it('believes no message that is not in the protocol, and none of a process it gave up', () => {
    const { supervisor, child } = supervised()
    supervisor.start()
    for (const message of [
      null,
      'ready',
      { type: 'ready', more: 1 },
      { type: 'failed', code: 'made-up', params: {} },
    ]) {
      child().say(message)
    }
    expect(supervisor.state().kind).toBe('starting')
    const first = child()
    first.exit(1)
    first.say({ type: 'ready' })
    expect(supervisor.state().kind).toBe('restarting')
  })
})

describe('ports handed to the supervisor', () => {
  it('go to a running node at once, and to a starting or crashed one when it runs', async () => {
    const { supervisor, timers, child, crash, port } = supervised()
    const [early, late, afterCrash] = [port(), port(), port()]
    supervisor.start()
    supervisor.connect(early)
    expect(child().ports).toEqual([])
    child().say({ type: 'ready' })
    supervisor.connect(late)
    expect(child().ports).toEqual([early, late])
    crash()
    supervisor.connect(afterCrash)
    await timers.advance(500)
    child().say({ type: 'ready' })
    expect(child().ports).toEqual([afterCrash])
    for (const open of [early, late, afterCrash]) open.close()
  })

  it('are closed when there is no node and none to come', () => {
    const { supervisor, child, port } = supervised()
    const [before, waiting, after] = [port(), port(), port()]
    supervisor.connect(before)
    supervisor.start()
    supervisor.connect(waiting)
    child().say({ type: 'failed', code: 'ledger-newer', params: {} })
    supervisor.connect(after)
    expect([before.closed, waiting.closed, after.closed]).toEqual([true, true, true])
  })

  it('do not pile up while a node starts: the oldest are closed', () => {
    const { supervisor, port } = supervised()
    supervisor.start()
    const ports = Array.from({ length: 40 }, port)
    for (const one of ports) supervisor.connect(one)
    expect(ports.map((one) => one.closed)).toEqual([...Array(24).fill(true), ...Array(16).fill(false)])
    for (const one of ports) one.close()
  })
})

describe('stopping', () => {
  it('asks the node to stop and waits for its end', async () => {
    const { supervisor, timers, child, killed } = supervised()
    supervisor.start()
    child().say({ type: 'ready' })
    child().onStop = () => child().exit(0)
    await supervisor.stop()
    expect(child().received.at(-1)?.message).toEqual({ type: 'stop' })
    expect([child().kills, killed, timers.monotonicMs()]).toEqual([0, [], 0])
    expect(supervisor.state().kind).toBe('stopped')
  })

  it('terminates a node that does not stop when asked', async () => {
    const { supervisor, timers, child, killed } = supervised()
    supervisor.start()
    child().onKill = () => child().exit(15)
    const stopped = supervisor.stop()
    await timers.advance(3999)
    expect(child().kills).toBe(0)
    await timers.advance(1)
    await stopped
    expect([child().kills, killed]).toEqual([1, []])
  })

  it('kills a node that hangs, within 5 s', async () => {
    const { supervisor, timers, child, killed } = supervised()
    supervisor.start()
    let settledAtMs = -1
    const stopped = supervisor.stop().then(() => {
      settledAtMs = timers.monotonicMs()
    })
    await timers.advance(5000)
    await stopped
    expect(settledAtMs).toBeLessThan(5000)
    expect([child().kills, killed]).toEqual([1, [4000]])
  })

  it('calls off a restart and starts nothing any more', async () => {
    const { supervisor, electron, timers, crash } = supervised()
    supervisor.start()
    crash()
    await supervisor.stop()
    await timers.advance(60_000)
    expect(electron.children).toHaveLength(1)
  })
})
