/** The shell as a client of the node's API, over a message port of its own: the tray knows what every other client knows. */
import { createORPCClient } from '@orpc/client'
import { RPCLink } from '@orpc/client/message-port'
import type { ContractRouterClient } from '@orpc/contract'
import type { MessagePortMain } from 'electron'
import type { Contract } from '#contracts/api/contract.ts'

export type ApiClient = ContractRouterClient<Contract>

/** Calls fail when the port's other end closes. */
export function createApiClient(port: MessagePortMain): ApiClient {
  const client: ApiClient = createORPCClient(new RPCLink({ port }))
  port.start()
  return client
}
