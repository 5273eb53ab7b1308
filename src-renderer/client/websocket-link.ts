/**
 * The page as the headless node serves it: one WebSocket to where the page came from. An HttpOnly cookie, set by the
 * node when the page was opened with its token, travels with the upgrade; the page never sees it.
 */
import { createORPCClient } from '@orpc/client'
import { RPCLink } from '@orpc/client/websocket'
import type { Client, Link } from './link.ts'

/** `http://127.0.0.1:4000` to `ws://127.0.0.1:4000/api`. */
export function apiUrl(origin: string): string {
  return `${origin.replace(/^http/, 'ws')}/api`
}

/** oRPC waits for `open` before it sends, and rejects what is pending when the socket closes. */
export async function openWebSocketLink(origin: string): Promise<Link> {
  const socket = new WebSocket(apiUrl(origin))
  socket.binaryType = 'arraybuffer'
  const client: Client = createORPCClient(new RPCLink({ websocket: socket }))
  const closed = new Promise<void>((resolve) => {
    socket.addEventListener('close', () => resolve(), { once: true })
  })
  return { client, closed, close: () => socket.close() }
}
