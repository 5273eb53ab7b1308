/**
 * The life of the node's process: started once, handed ports to serve, stopped once. Ports that come while the node is
 * still starting wait for it.
 */
import type { MessagePortMain } from 'electron'
import { CodedError, codeOf } from '#contracts/errors.ts'
import type { ParentPortPart } from './electron-parts.ts'
import type { CreateNodeHost, NodeHost, NodeHostOptions } from './node-host.ts'
import { type FromNode, type ToNode, toNodeSchema } from './node-messages.ts'

export interface NodeProcessComponents {
  readonly parentPort: ParentPortPart
  readonly createNodeHost: CreateNodeHost
  readonly exit: (code: number) => void
  readonly log: (line: string) => void
}

export function runNodeProcess(components: NodeProcessComponents): void {
  const { parentPort, exit, log } = components
  let host: Promise<NodeHost | null> | undefined
  const say = (message: FromNode) => parentPort.postMessage(message)

  async function start(options: NodeHostOptions): Promise<NodeHost | null> {
    try {
      const started = await components.createNodeHost(options)
      say({ type: 'ready' })
      return started
    } catch (error) {
      log(`the node could not start: ${messageOf(error)}`)
      say({ type: 'failed', code: codeOf(error), params: error instanceof CodedError ? error.params : {} })
      return null
    }
  }

  async function connect(port: MessagePortMain | undefined): Promise<void> {
    const started = await host
    if (port === undefined) return
    if (started) started.attach(port)
    else port.close()
  }

  async function stop(): Promise<void> {
    const started = await host
    await started?.stop()
  }

  function handle(message: ToNode, ports: readonly MessagePortMain[]): void {
    switch (message.type) {
      case 'start':
        host ??= start(message.options)
        return
      case 'connect':
        void connect(ports[0])
        return
      case 'stop':
        stop().then(
          () => exit(0),
          (error: unknown) => {
            log(`the node did not stop cleanly: ${messageOf(error)}`)
            exit(1)
          },
        )
    }
  }

  parentPort.on('message', (event) => {
    const message = toNodeSchema.safeParse(event.data)
    if (message.success) handle(message.data, event.ports)
    else log('ignored a message that is not one of the shell')
  })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
