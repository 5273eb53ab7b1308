/**
 * Plays the desktop shell's preload on an in-memory node, so that everything from the message port up is the real thing.
 * `?scenario=` names one of `scenarioNames`, `?pace=` the milliseconds between two tokens.
 */
import { RPCHandler } from '@orpc/server/message-port'
import { portMessageType } from '#renderer/client/electron-link.ts'
import { createInMemoryNode } from '#test/fakes/in-memory-node.ts'
import { scenarioNames } from '#test/fakes/in-memory-node-scenarios.ts'

const query = new URLSearchParams(location.search)
const scenario = scenarioNames.find((name) => name === query.get('scenario')) ?? 'hosting'
const node = createInMemoryNode({ scenario, paceMs: Number(query.get('pace') ?? 30) })
const handler = new RPCHandler(node.router)
let reachable = true
let pagePort: MessagePort | null = null

// Electron tells a port that its other end is gone; Chromium alone does not, so `lose` does it in its stead.
window.addEventListener('message', (event) => {
  pagePort = event.ports[0] ?? pagePort
})

function connect(): void {
  if (!reachable) return
  const { port1, port2 } = new MessageChannel()
  handler.upgrade(port1)
  port1.start()
  window.postMessage({ type: portMessageType }, location.origin, [port2])
}

Object.assign(window, {
  quiltbee: { connect },
  /** For tests: the node goes out of reach, and comes back. */
  views: {
    lose(): void {
      reachable = false
      pagePort?.dispatchEvent(new Event('close'))
    },
    restore(): void {
      reachable = true
    },
  },
})
