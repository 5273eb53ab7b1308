/**
 * The page inside the desktop shell. The preload exposes `window.quiltbee.connect()`; it answers by posting a
 * `MessagePort` to the page, whose other end is the node's process. A new call gives a new port.
 */
import { createORPCClient } from '@orpc/client'
import { RPCLink } from '@orpc/client/message-port'
import type { Client, Link } from './link.ts'

export type QuiltbeeBridge = { connect(): unknown }

declare global {
  interface Window {
    readonly quiltbee?: QuiltbeeBridge
  }
}

export const portMessageType = 'quiltbee:port'

export async function openElectronLink(bridge: QuiltbeeBridge, signal: AbortSignal): Promise<Link> {
  const port = await requestPort(bridge, signal)
  const client: Client = createORPCClient(new RPCLink({ port }))
  const closed = new Promise<void>((resolve) => {
    port.addEventListener('close', () => resolve(), { once: true })
  })
  port.start()
  return { client, closed, close: () => closePort(port) }
}

/** A port tells only its other end that it closed; we tell ours too, so that pending calls end and `closed` settles. */
function closePort(port: MessagePort): void {
  port.close()
  port.dispatchEvent(new Event('close'))
}

function requestPort(bridge: QuiltbeeBridge, signal: AbortSignal): Promise<MessagePort> {
  return new Promise((resolve, reject) => {
    const stop = new AbortController()
    const listening = { signal: stop.signal }
    const receive = (event: MessageEvent<unknown>): void => {
      const port = portOf(event)
      if (port === null) return
      stop.abort()
      resolve(port)
    }
    const giveUp = (): void => {
      stop.abort()
      reject(signal.reason)
    }
    window.addEventListener('message', receive, listening)
    signal.addEventListener('abort', giveUp, listening)
    bridge.connect()
  })
}

/** Only the page itself (the preload shares its window) may hand over a port: a frame or opener may not. */
function portOf(event: MessageEvent<unknown>): MessagePort | null {
  if (event.source !== window) return null
  const { data } = event
  if (typeof data !== 'object' || data === null || !('type' in data) || data.type !== portMessageType) return null
  return event.ports[0] ?? null
}
