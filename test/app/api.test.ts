import { MessageChannel } from 'node:worker_threads'
import { createORPCClient } from '@orpc/client'
import { RPCLink as PortLink } from '@orpc/client/message-port'
import { RPCLink as SocketLink } from '@orpc/client/websocket'
import type { ContractRouterClient } from '@orpc/contract'
import { createRouterClient } from '@orpc/server'
import { RPCHandler as PortHandler } from '@orpc/server/message-port'
import { RPCHandler as SocketHandler } from '@orpc/server/ws'
import { WebSocket } from 'ws'
import { type Api, createApi } from '#app/api.ts'
import type { Contract } from '#contracts/api/contract.ts'
import { apiPath, startUiServer } from '#headless/ui-server.ts'
import { type ApiUnderTest, describeApi } from '#test/compliance/api.ts'
import { nodeOfFakes } from '#test/helpers/node-of-fakes.ts'

type Client = ContractRouterClient<Contract>
const token = 'd4'.repeat(32)

/** A started node, reached as `attach` says. */
function open(attach: (api: Api) => Promise<{ client: Client; close(): void | Promise<void> }>) {
  return async (): Promise<ApiUnderTest> => {
    const { node } = await nodeOfFakes()
    await node.start()
    await node.settled()
    const { client, close } = await attach(createApi(node))
    return {
      client,
      close: async () => {
        await close()
        await node.stop()
      },
    }
  }
}

describeApi(
  'a direct call',
  open(async (api) => ({ client: createRouterClient(api), close: () => undefined })),
)

describeApi(
  'a message port',
  open(async (api) => {
    const { port1, port2 } = new MessageChannel()
    new PortHandler(api).upgrade(port1)
    return { client: createORPCClient(new PortLink({ port: port2 })), close: () => port1.close() }
  }),
)

describeApi(
  'a WebSocket',
  open(async (api) => {
    const handler = new SocketHandler(api)
    const server = await startUiServer({
      rendererDirectory: import.meta.dirname,
      token,
      port: 0,
      anyPortWhenTaken: true,
      attach: (socket) => void handler.upgrade(socket),
    })
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}${apiPath}`, {
      headers: { authorization: `Bearer ${token}` },
    })
    await new Promise((opened) => socket.once('open', opened))
    const websocket = socket as unknown as ConstructorParameters<typeof SocketLink>[0]['websocket']
    return { client: createORPCClient(new SocketLink({ websocket })), close: () => server.close() }
  }),
)
