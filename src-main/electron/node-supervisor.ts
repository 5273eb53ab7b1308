/**
 * Keeps the node's process alive: starts it, starts it again after a crash with growing pauses, gives up after three crashes
 * in a minute until the owner says otherwise, and ends it for good within 5 s.
 */
import type { MessagePortMain } from 'electron'
import type { ErrorCode, ErrorParams } from '#contracts/errors.ts'
import { createBreaker } from './breaker.ts'
import type { ChildPart, Timers } from './electron-parts.ts'
import type { NodeHostOptions } from './node-host.ts'
import { type FromNode, fromNodeSchema, type ToNode } from './node-messages.ts'

export type NodeState =
  | { readonly kind: 'starting' | 'running' | 'stopped' }
  | { readonly kind: 'restarting'; readonly delayMs: number; readonly exitCode: number }
  | { readonly kind: 'crashing'; readonly exitCode: number }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly params: ErrorParams }

export interface NodeSupervisor {
  state(): NodeState
  /** Starts the node, or starts it anew after `crashing` or `refused`. */
  start(): void
  /** Hands a port to the node: now, or once it runs. When it is not going to run, the port is closed. */
  connect(port: MessagePortMain): void
  /** Ends the node: asked first, then terminated, then killed. Always settles within 5 s. */
  stop(): Promise<void>
}

export interface SupervisorComponents {
  readonly fork: () => ChildPart
  readonly timers: Timers
  /** Ends a process that answers nothing any more. */
  readonly forceKill: (processId: number) => void
  readonly log: (line: string) => void
}
export interface SupervisorInit {
  readonly options: NodeHostOptions
  readonly onState: (state: NodeState) => void
}

const crashLimit = 3
const crashWindowMs = 60_000
const firstRestartDelayMs = 500
const askedStopMs = 4_000
const terminatedStopMs = 500
/** More than the windows of one shell ever ask for while a node starts. */
const maximumWaitingPorts = 16

export function createNodeSupervisor(components: SupervisorComponents, init: SupervisorInit): NodeSupervisor {
  const { timers, log } = components
  const breaker = createBreaker(crashWindowMs)
  let state: NodeState = { kind: 'stopped' }
  let child: ChildPart | undefined
  let waiting: MessagePortMain[] = []
  let cancelRestart = (): void => undefined
  let onEnded = (): void => undefined

  function become(next: NodeState): void {
    state = next
    if (next.kind === 'running') deliverWaiting()
    if (next.kind === 'stopped' || next.kind === 'crashing' || next.kind === 'refused') closeWaiting()
    init.onState(next)
  }

  function start(): void {
    if (child !== undefined) return
    cancelRestart()
    if (state.kind !== 'restarting') breaker.reset()
    const forked = components.fork()
    child = forked
    forked.on('message', (message) => hear(forked, message))
    forked.on('exit', (code) => ended(forked, code))
    tell(forked, { type: 'start', options: init.options })
    become({ kind: 'starting' })
  }

  function hear(from: ChildPart, data: unknown): void {
    const message = fromNodeSchema.safeParse(data)
    if (from !== child || state.kind !== 'starting') return
    if (!message.success) log('ignored a message that is not one of the node')
    else if (message.data.type === 'ready') become({ kind: 'running' })
    else refused(from, message.data)
  }

  /** Not started again: the next time would end the same way. */
  function refused(from: ChildPart, { code, params }: Extract<FromNode, { type: 'failed' }>): void {
    child = undefined
    from.kill()
    become({ kind: 'refused', code, params })
  }

  function ended(which: ChildPart, exitCode: number): void {
    if (which !== child) return
    child = undefined
    onEnded()
    if (state.kind === 'stopped') return
    log(`the node's process ended by itself with code ${exitCode}`)
    const crashes = breaker.record(timers.monotonicMs())
    if (crashes >= crashLimit) become({ kind: 'crashing', exitCode })
    else restartAfter(firstRestartDelayMs * 2 ** (crashes - 1), exitCode)
  }

  function restartAfter(delayMs: number, exitCode: number): void {
    cancelRestart = timers.after(delayMs, start)
    become({ kind: 'restarting', delayMs, exitCode })
  }

  function connect(port: MessagePortMain): void {
    if (state.kind === 'running' && child !== undefined) tell(child, { type: 'connect' }, [port])
    else if (state.kind === 'starting' || state.kind === 'restarting') waiting.push(port)
    else port.close()
    while (waiting.length > maximumWaitingPorts) waiting.shift()?.close()
  }

  function deliverWaiting(): void {
    const ports = waiting
    waiting = []
    for (const port of ports) connect(port)
  }

  function closeWaiting(): void {
    for (const port of waiting) port.close()
    waiting = []
  }

  async function stop(): Promise<void> {
    cancelRestart()
    become({ kind: 'stopped' })
    const ending = child
    if (ending === undefined) return
    const exited = new Promise<void>((resolve) => {
      onEnded = resolve
    })
    tell(ending, { type: 'stop' })
    if (await within(exited, askedStopMs, timers)) return
    log('the node does not stop when asked; terminating its process')
    ending.kill()
    if (await within(exited, terminatedStopMs, timers)) return
    log('the node does not end when terminated; killing its process')
    if (ending.pid !== undefined) components.forceKill(ending.pid)
  }

  return { state: () => state, start, connect, stop }
}

function tell(child: ChildPart, message: ToNode, ports: MessagePortMain[] = []): void {
  child.postMessage(message, ports)
}

/** True when `event` comes first, false when `limitMs` is over before it. */
export function within(event: Promise<unknown>, limitMs: number, timers: Timers): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = timers.after(limitMs, () => resolve(false))
    void event.then(() => {
      cancel()
      resolve(true)
    })
  })
}
