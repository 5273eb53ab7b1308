/**
 * Follows the node's status for the tray, through as many restarts of the node as there are: each time it runs, a fresh
 * connection; whenever it does not, the status is unknown.
 */
import type { MessagePortMain } from 'electron'
import { apiVersion } from '#contracts/api/contract.ts'
import type { NodeStatus } from '#contracts/api/node.ts'
import { type ApiClient, createApiClient } from './api-client.ts'
import type { Timers } from './electron-parts.ts'

export interface NodeWatch {
  /** Tells that the node began or ceased to run. */
  setRunning(running: boolean): void
  /** Asks the node to pause for `minutes`, or until resumed when null. Does nothing while there is no node. */
  pause(minutes: number | null): void
  resume(): void
}

export interface NodeWatchComponents {
  /** Opens a connection to the node that runs now. */
  readonly openPort: () => MessagePortMain
  readonly timers: Timers
  readonly log: (line: string) => void
}

const retryDelayMs = 1_000

export function createNodeWatch(
  components: NodeWatchComponents,
  init: { readonly onStatus: (status: NodeStatus | null) => void },
): NodeWatch {
  let current: { readonly port: MessagePortMain; readonly client: ApiClient } | undefined
  let running = false
  let cancelRetry = (): void => undefined

  function open(): void {
    const port = components.openPort()
    const opened = { port, client: createApiClient(port) }
    current = opened
    follow(opened.client, (status) => {
      if (current === opened) init.onStatus(status)
    }).then(
      () => retry(opened, 'the node ended the status stream'),
      (error: unknown) => retry(opened, String(error)),
    )
  }

  function retry(opened: typeof current, why: string): void {
    if (current !== opened) return
    components.log(`lost sight of the node: ${why}`)
    close()
    cancelRetry = components.timers.after(retryDelayMs, open)
  }

  function close(): void {
    cancelRetry()
    current?.port.close()
    current = undefined
    init.onStatus(null)
  }

  function ask(what: string, call: (client: ApiClient) => Promise<NodeStatus>): void {
    const asked = current
    if (asked === undefined) return
    call(asked.client).then(
      (status) => {
        if (current === asked) init.onStatus(status)
      },
      (error: unknown) => components.log(`the node did not ${what}: ${String(error)}`),
    )
  }

  return {
    setRunning(now) {
      if (now === running) return
      running = now
      if (now) open()
      else close()
    },
    pause: (minutes) => ask('pause', (client) => client.node.pause({ minutes })),
    resume: () => ask('resume', (client) => client.node.resume()),
  }
}

async function follow(client: ApiClient, onStatus: (status: NodeStatus) => void): Promise<void> {
  await client.connect({ apiVersion })
  for await (const status of await client.node.watch()) onStatus(status)
}
