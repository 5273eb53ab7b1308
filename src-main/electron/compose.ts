import { RPCHandler } from '@orpc/server/message-port'
import { createApi } from '#app/api.ts'
import { assembleNode } from '#assembly/assemble-node.ts'
import type { CreateNodeHost } from './node-host.ts'

/** The node of the Electron app: the same as the headless one, served on message ports. */
export const createNodeHost: CreateNodeHost = async ({ profile, resourcesDirectory }) => {
  const assembled = await assembleNode({ profile, resourcesDirectory })
  await assembled.node.start()
  const handler = new RPCHandler(createApi(assembled.node))
  return {
    attach(port) {
      handler.upgrade(port)
      port.start()
    },
    stop: () => assembled.stop(),
  }
}
