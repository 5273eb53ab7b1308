/** The command line's connection to a node that runs already: the same API as the UI, over the same WebSocket. */
import { createORPCClient } from '@orpc/client'
import { RPCLink } from '@orpc/client/websocket'
import type { ContractRouterClient } from '@orpc/contract'
import { WebSocket } from 'ws'
import { readAccessToken } from '#adapters/files/access-token.ts'
import type { DataDirectory } from '#adapters/files/data-directory.ts'
import { readRunningNode } from '#adapters/files/running-node.ts'
import { apiVersion, type Contract } from '#contracts/api/contract.ts'
import { apiPath } from './ui-server.ts'

export type NodeClient = ContractRouterClient<Contract>

export interface NodeConnection {
  readonly client: NodeClient
  close(): void
}

const connectTimeoutMs = 3_000

/** Null when no node runs on the profile (or only a stale note of one is left). */
export async function connectToRunningNode(directory: DataDirectory): Promise<NodeConnection | null> {
  const running = await readRunningNode(directory.runningNodeFile)
  const token = await readAccessToken(directory.accessTokenFile)
  if (running === null || token === null) return null
  const socket = await openSocket(running.uiPort, token)
  if (socket === null) return null
  // `ws` implements the browser's WebSocket; only its event classes are declared apart.
  const websocket = socket as unknown as ConstructorParameters<typeof RPCLink>[0]['websocket']
  const client: NodeClient = createORPCClient(new RPCLink({ websocket }))
  await client.connect({ apiVersion })
  return { client, close: () => socket.close() }
}

function openSocket(port: number, token: string): Promise<WebSocket | null> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${apiPath}`, {
      headers: { authorization: `Bearer ${token}` },
      handshakeTimeout: connectTimeoutMs,
    })
    socket.once('open', () => resolve(socket))
    socket.on('error', () => resolve(null))
  })
}
